"""Count what happened from the table of charges; the workers' words only say what clients were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from idemdb.demo.progress import Progress, Receipt
from idemdb.demo.requests import PaymentRequest

_READ: Final = "select id, scope, key, amount, currency, request from {}.charges order by id"


@dataclass(frozen=True)
class Charge:
    """A row of the table of charges."""

    id: int
    scope: str
    key: str
    amount: int
    currency: str
    request: int


@dataclass(frozen=True)
class Numbers:
    """What one service made of the requests: ``requests = charges + replays + refused``.

    :param requests: lines of the file; one that was sent again after a fault is still one.
    :param payments: different pairs of scope and key.
    :param charges: requests that charged; whatever answer reached the client in the end.
    :param charges_by_resends: charges beyond that: of requests that were sent again after a fault.
    :param double_charges: payments that were charged more than once.
    :param lost: payments that were not charged, or whose receipt is for no charge in the table.
    :param replays: requests that were answered with the receipt of an earlier charge.
    :param refused: requests that were refused: the key belongs to another request.
    :param crashes: workers killed with SIGKILL.
    :param cuts: connections cut around COMMIT.
    :param ms_per_request: mean time in the worker, of the tries that were answered.
    """

    requests: int
    payments: int
    charges: int
    charges_by_resends: int
    double_charges: int
    lost: int
    replays: int
    refused: int
    crashes: int
    cuts: int
    ms_per_request: float


def read(dsn: str, schema: str) -> list[Charge]:
    """Return all charges.

    :param dsn: of the demo's database.
    :param schema: of the table.
    """
    with psycopg.connect(dsn) as connection, connection.cursor(row_factory=class_row(Charge)) as cursor:
        return cursor.execute(sql.SQL(_READ).format(sql.Identifier(schema))).fetchall()


def count(requests: Sequence[PaymentRequest], charges: Sequence[Charge], progress: Progress) -> Numbers:
    """Count what a service did.

    :param requests: all of the file.
    :param charges: all of the table.
    :param progress: of the service, with an answer to each request.
    """
    charged = {charge.request for charge in charges}
    others = [progress.answers[request.number] for request in requests if request.number not in charged]
    refused = sum(answer.receipt is None for answer in others)
    per_payment = Counter((charge.scope, charge.key) for charge in charges)
    return Numbers(
        requests=len(requests),
        payments=len({request.payment for request in requests}),
        charges=len(charged),
        charges_by_resends=len(charges) - len(charged),
        double_charges=sum(number > 1 for number in per_payment.values()),
        lost=len(_lost(requests, charges, progress)),
        replays=len(others) - refused,
        refused=refused,
        crashes=progress.crashes,
        cuts=progress.cuts,
        ms_per_request=round(fmean(answer.ms for answer in progress.answers.values()), 2),
    )


def _lost(
    requests: Sequence[PaymentRequest], charges: Sequence[Charge], progress: Progress
) -> set[tuple[str, str]]:
    """Return the payments whose charge is missing, or whose receipt is for none that matches."""
    paid = {(charge.scope, charge.key) for charge in charges}
    right = {
        (charge.scope, charge.key, Receipt(charge.id, charge.amount, charge.currency)) for charge in charges
    }
    lost = set()
    for request in requests:
        receipt = progress.answers[request.number].receipt
        if receipt is None:
            kept = request.payment in paid
        else:
            asked = (receipt.amount, receipt.currency) == (request.amount, request.currency)
            kept = asked and (*request.payment, receipt) in right
        if not kept:
            lost.add(request.payment)
    return lost
