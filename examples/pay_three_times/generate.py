"""Write payments.jsonl, the payment requests of `idemdb demo`: always the same ones.

Run it from anywhere: python examples/pay_three_times/generate.py
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("payments.jsonl")
PEOPLE = [
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "mallory",
    "olivia",
]

Line = dict[str, Any]


def main() -> None:
    """Write the file."""
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines()), encoding="utf-8")


def lines() -> list[Line]:
    """Return the requests in the order of their arrival."""
    dice = random.Random(3)  # noqa: S311 (no secret)
    arrivals: list[tuple[float, Line]] = []

    def arrive(moment: float, payment: Line, note: str) -> None:
        arrivals.append((moment, payment | {"note": note}))

    def payment(user: str | None = None, key: str | None = None) -> Line:
        return {
            "scope": f"{user or dice.choice(PEOPLE)}/pay",
            "key": key or str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            "amount": dice.randrange(499, 25_000),
            "currency": dice.choice(["EUR", "EUR", "EUR", "USD", "GBP"]),
        }

    for count, clicks in ((84, 1), (24, 2), (30, 3), (4, 5)):
        for _ in range(count):
            moment, one = dice.random(), payment()
            for click in range(1, clicks + 1):
                arrive(moment, one, "Pay" if click == 1 else f"Pay, click {click}")
    for _ in range(18):
        moment, one = dice.random() / 2, payment()
        arrive(moment, one, "Pay")
        arrive(moment + 0.3, one, "the same again, much later: the app had lost its answer")
    for _ in range(10):
        moment, one = dice.random() / 2, payment()
        arrive(moment, one, "Pay")
        arrive(moment + 0.2, one | {"amount": one["amount"] + 1000}, "the same key with another amount")
    for number in range(10):
        moment = dice.random()
        for user in dice.sample(PEOPLE, 2):
            arrive(moment, payment(user, f"order-{1001 + number}"), "a key that another user uses, too")
    return [line for _, line in sorted(arrivals, key=lambda arrival: arrival[0])]


if __name__ == "__main__":
    main()
