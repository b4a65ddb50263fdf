"""What has happened so far on one of the demo's two sides."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Receipt:
    """What the client was told about a payment: the charge's id, amount and currency."""

    id: int
    amount: int
    currency: str


@dataclass(frozen=True)
class Answer:
    """The last word on one request.

    :param receipt: of the charge; None where the request was refused.
    :param ms: milliseconds from order to COMMIT in the worker, of the try that was answered.
    """

    receipt: Receipt | None
    ms: float


@dataclass
class Progress:
    """What has happened so far; who watches adds what the tables say.

    :param answers: by the number of the request.
    :param crashes: workers killed with SIGKILL while they handled a payment.
    :param cuts: connections cut around COMMIT.
    :param charges: rows in the table.
    :param double_charges: payments that have more than one of them.
    :param deliveries: of events, to make.
    :param settled: deliveries that the consumer has acknowledged, or the provider has given up.
    :param consumer_crashes: workers killed with SIGKILL while they handled an event.
    :param bookings: rows in the table.
    :param double_bookings: events that have more than one of them.
    :param mails: accepted by the mail server.
    :param relay_crashes: relays killed with SIGKILL.
    """

    answers: dict[int, Answer] = field(default_factory=dict)
    crashes: int = 0
    cuts: int = 0
    charges: int = 0
    double_charges: int = 0
    deliveries: int = 0
    settled: int = 0
    consumer_crashes: int = 0
    bookings: int = 0
    double_bookings: int = 0
    mails: int = 0
    relay_crashes: int = 0
