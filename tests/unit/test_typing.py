"""What type checkers see: mypy reads this file, an ignore that is not needed is an error of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, assert_type

from idemdb import Answer, AsyncIdem, AsyncOp, Claim, Idem, KeyRecord, Op, Outcome, SweepResult, aretry, retry


class Paid(TypedDict):
    payment: int


def pay(op: Op) -> Paid:
    assert_type(op.step("charge", lambda: 7), int)
    assert_type(op.key_for("charge"), str)
    return {"payment": 7}


def pay_or_decline(op: Op) -> Paid | Answer:
    return pay(op) if op.claim.attempt else Answer(status=402)


async def pay_waiting(op: AsyncOp) -> Paid:
    async def charge() -> int:
        return 7

    assert_type(await op.step("charge", charge), int)
    return {"payment": 7}


def plain(idem: Idem) -> None:
    assert_type(idem.run("s", "k", pay), Outcome[Paid])
    assert_type(idem.run("s", "k", pay_or_decline).value, Paid)
    assert_type(idem.claim("s", "k", request=b"", lease=5), Claim)
    assert_type(idem.lookup("s", "k"), KeyRecord)
    assert_type(idem.complete("s", "k", 1), datetime)
    assert_type(idem.sweep(), list[SweepResult])
    idem.run("s", "k", pay_waiting)  # type: ignore[arg-type]
    idem.claim("s", "k", abandoned="forget")  # type: ignore[arg-type]
    idem.claim("s", 5)  # type: ignore[arg-type]


async def waiting(idem: AsyncIdem) -> None:
    assert_type(await idem.run("s", "k", pay_waiting), Outcome[Paid])
    assert_type(await idem.claim("s", "k"), Claim)
    assert_type(await aretry(idem.version), int)


def test_the_repeated_function_keeps_its_type() -> None:
    assert_type(retry(lambda: 7), int)
    assert retry(lambda: 7) == 7
