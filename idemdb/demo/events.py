"""The webhook events of the payment provider, and in which order they are delivered, how often."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from idemdb.demo.ledger import Charge
from idemdb.demo.orders import Hold

TIMES: Final = 5

_EVENTS_PER_FAULT: Final = 20


@dataclass(frozen=True)
class ProviderEvent:
    """What the provider tells about a charge.

    :param id: given by the provider, the same for every delivery.
    :param kind: such as payment.succeeded.
    :param charge: its id.
    :param amount: in hundredths of the currency; None in the poisoned one, which cannot be booked.
    :param currency: three capital letters.
    """

    id: str
    kind: str
    charge: int
    amount: int | None
    currency: str

    @property
    def poisoned(self) -> bool:
        """Say whether its handler fails every time."""
        return self.amount is None


@dataclass(frozen=True)
class Delivery:
    """One of the deliveries of an event.

    :param number: its place in the order, from 1.
    """

    number: int
    event: ProviderEvent


def events_of(charges: Sequence[Charge], seed: int) -> list[ProviderEvent]:
    """Return one event for each charge; one of them is poisoned.

    :param seed: decides which.
    """
    poisoned = random.Random(seed).choice(charges) if charges else None  # noqa: S311 (no secret)
    return [
        ProviderEvent(
            f"evt_{charge.id:06}",
            "payment.succeeded",
            charge.id,
            None if charge is poisoned else charge.amount,
            charge.currency,
        )
        for charge in charges
    ]


def deliveries_of(events: Sequence[ProviderEvent], seed: int) -> list[Delivery]:
    """Return each event five times, shuffled.

    :param seed: decides about the order.
    """
    order = [event for event in events for _ in range(TIMES)]
    random.Random(seed).shuffle(order)  # noqa: S311 (no secret)
    return [Delivery(number, event) for number, event in enumerate(order, start=1)]


def plan(deliveries: Sequence[Delivery], seed: int) -> dict[int, Hold]:
    """Return the numbers of the deliveries whose worker is killed, and where.

    It is always an event's first delivery: the one that is handled. Of those, one whose next delivery is far
    behind: two at the same time may be handled the other way round.

    :param deliveries: in their order.
    :param seed: any number.
    """
    numbers: dict[str, list[int]] = {}
    for delivery in deliveries:
        if not delivery.event.poisoned:
            numbers.setdefault(delivery.event.id, []).append(delivery.number)
    far = sorted(numbers.values(), key=lambda found: found[0] - found[1])[: math.ceil(len(numbers) / 2)]
    count = math.ceil(len(numbers) / _EVENTS_PER_FAULT)
    drawn = sorted(random.Random(seed).sample([found[0] for found in far], count))  # noqa: S311 (no secret)
    return dict(zip(drawn, cycle(Hold), strict=False))
