"""``run`` in the caller's transaction, over every kind of connection."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from idemdb import (
    Answer,
    AnswerExpired,
    InvalidArgument,
    KeyInProgress,
    Outcome,
    ParameterMismatch,
    Unresolved,
)
from tests.support.drivers import ALCHEMY, NATIVE, WAITING, Kit


def _insert(kit: Kit, number: int, returned: Any = None) -> Any:
    """Return a handler that inserts a row, and returns, or raises, what is given."""

    async def handler(op: Any) -> Any:
        await kit.sql(op.connection, f"insert into work values ({number})")
        if isinstance(returned, BaseException) and not isinstance(returned, Answer):
            raise returned
        return returned

    return handler


async def test_the_handler_runs_once_and_its_answer_is_replayed(kit: Kit) -> None:
    connection = await kit.open()
    outcomes: list[Outcome[Any]] = []
    for _ in range(3):
        async with kit.transaction(connection) as idem:
            handler = _insert(kit, 1, {"id": (7, 1.5), "ü": None})
            outcomes.append(await idem.run("s", "k", handler, request={"a": 1}))
    assert [outcome.outcome for outcome in outcomes] == ["started", "replayed", "replayed"]
    assert [outcome.replayed for outcome in outcomes] == [False, True, True]
    assert all(outcome.value == {"id": [7, 1.5], "ü": None} for outcome in outcomes)
    first, second, third = (outcome.claim for outcome in outcomes)
    assert first.completed_at == second.completed_at
    assert first.claim_token is not None
    assert second == third
    assert kit.work() == [1]


async def test_the_value_is_json_or_bytes(kit: Kit) -> None:
    connection = await kit.open()
    values: list[Any] = [b"\x00\xff", None, [], 0, "text", b""]
    for number, value in enumerate(values):
        for _ in range(2):
            async with kit.transaction(connection) as idem:
                outcome = await idem.run("s", f"k{number}", _insert(kit, number, value))
                assert outcome.value == value


async def test_work_and_key_vanish_together(kit: Kit) -> None:
    connection = await kit.open()
    with pytest.raises(ZeroDivisionError):
        async with kit.transaction(connection) as idem:
            await idem.run("s", "k", _insert(kit, 1))
            raise ZeroDivisionError
    assert (kit.work(), kit.record().state) == ([], "unknown")


async def test_a_handler_that_raises_leaves_nothing_when_the_caller_commits(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "insert into work values (1)")
        with pytest.raises(ZeroDivisionError) as caught:
            await idem.run("s", "k", _insert(kit, 2, ZeroDivisionError("no")))
        assert not getattr(caught.value, "__notes__", [])
        await kit.sql(connection, "insert into work values (3)")
    assert (kit.work(), kit.record().state) == ([1, 3], "unknown")
    async with kit.transaction(connection) as idem:
        assert (await idem.run("s", "k", _insert(kit, 2))).outcome == "started"


async def test_a_failed_statement_of_the_handler_leaves_nothing_either(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "insert into work values (1)")
        with pytest.raises(kit.database_error):
            await idem.run("s", "k", _insert(kit, 1))
        await kit.sql(connection, "insert into work values (2)")
    assert (kit.work(), kit.record().state) == ([1, 2], "unknown")


async def test_a_failed_statement_that_the_handler_hides_is_no_success(kit: Kit) -> None:
    async def handler(op: Any) -> str:
        await kit.sql(op.connection, "insert into work values (2)")
        with pytest.raises(kit.database_error):
            await kit.sql(op.connection, "insert into work values (2)")
        return "all is well"

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        with pytest.raises(kit.database_error):
            await idem.run("s", "k", handler)
        await kit.sql(connection, "insert into work values (1)")
    assert (kit.work(), kit.record().state) == ([1], "unknown")


async def test_an_answer_that_is_raised_rolls_back_the_writes_and_is_stored(kit: Kit) -> None:
    async def handler(op: Any) -> None:
        await kit.sql(op.connection, "insert into work values (2)")
        raise Answer(status=402, headers={"x": "y"}, result={"declined": True}, reference="r")

    connection = await kit.open()
    outcomes = []
    for _ in range(2):
        async with kit.transaction(connection) as idem:
            outcomes.append(await idem.run("s", "k", handler))
    for outcome, name in zip(outcomes, ("started", "replayed"), strict=True):
        assert (outcome.outcome, outcome.value, outcome.claim.status) == (name, {"declined": True}, 402)
        assert (outcome.claim.headers, outcome.claim.reference) == ({"x": "y"}, "r")
    assert (kit.work(), kit.record().state) == ([], "done")


async def test_an_answer_that_is_returned_keeps_the_writes(kit: Kit) -> None:
    connection = await kit.open()
    for _ in range(2):
        async with kit.transaction(connection) as idem:
            outcome = await idem.run("s", "k", _insert(kit, 1, Answer(status=201, body=b"made")))
            assert (outcome.value, outcome.claim.status) == (b"made", 201)
    assert kit.work() == [1]


async def test_an_answer_that_cannot_be_stored_leaves_nothing(kit: Kit) -> None:
    bad: list[Any] = [object(), {1: 2}, float("nan"), Answer(headers={"x": {1}}), Answer(reference="\0")]

    async def raising(op: Any) -> None:
        await _insert(kit, 1)(op)
        raise Answer(result=object())

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        for handler in [raising, *(_insert(kit, 1, value) for value in bad)]:
            with pytest.raises(InvalidArgument):
                await idem.run("s", "k", handler)
    assert (kit.work(), kit.record().state) == ([], "unknown")


@pytest.mark.parametrize("kit", ALCHEMY, indirect=True)
async def test_autocommit_of_sqlalchemy_is_refused(kit: Kit) -> None:
    for lease in (None, 60):
        idem = kit.idem(await kit.open(autocommit=True))
        with pytest.raises(InvalidArgument, match="autocommit"):
            await idem.run("s", "k", _insert(kit, 1), lease=lease)
    assert (kit.work(), kit.record().state) == ([], "unknown")


@pytest.mark.parametrize("kit", NATIVE, indirect=True)
async def test_a_connection_in_autocommit_mode_gets_a_transaction_of_its_own(kit: Kit) -> None:
    connection = await kit.open(autocommit=True)
    idem = kit.idem(connection)
    with pytest.raises(ZeroDivisionError):
        await idem.run("s", "k", _insert(kit, 1, ZeroDivisionError()))
    assert (kit.work(), kit.record().state) == ([], "unknown")
    assert (await idem.run("s", "k", _insert(kit, 1, "done"))).outcome == "started"
    assert (await idem.run("s", "k", _insert(kit, 2))).value == "done"
    assert (kit.work(), kit.record().state) == ([1], "done")


async def test_runs_can_be_nested(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:

        async def outer(op: Any) -> Any:
            await idem.run("s", "inner", _insert(kit, 1))
            with pytest.raises(ZeroDivisionError):
                await idem.run("s", "failing", _insert(kit, 2, ZeroDivisionError()))
            return (await idem.run("s", "inner", _insert(kit, 3))).outcome

        assert (await idem.run("s", "k", outer)).value == "replayed"
    assert kit.work() == [1]
    assert [kit.record(key).state for key in ("k", "inner", "failing")] == ["done", "done", "unknown"]


async def test_the_handler_knows_its_run(kit: Kit) -> None:
    keys: list[str] = []

    async def handler(op: Any) -> None:
        assert op.connection is connection
        assert (op.scope, op.key, op.recovery_point, op.recovery_data, op.lost) == (
            "s",
            "k",
            None,
            None,
            False,
        )
        assert (op.claim.outcome, op.claim.attempt) == ("started", 1)
        keys.extend([await op.key_for("charge"), await op.key_for("charge"), await op.key_for("mail")])
        with pytest.raises(InvalidArgument, match="lease"):
            await op.step("charge", lambda: 1)

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await idem.run("s", "k", handler)
    assert keys[0] == keys[1] != keys[2]
    # The same for ever: other services have it.
    assert keys[0] == "8a1581c7-62a7-5c24-a79e-155bc827fd52"


async def test_where_it_can_neither_run_nor_replay_it_raises(kit: Kit) -> None:
    connection, other = await kit.open(), await kit.open()
    async with kit.transaction(connection) as idem:
        await idem.run("s", "k", _insert(kit, 1, Answer(reference="order 7")), request=1)
        async with kit.transaction(other) as late:
            with pytest.raises(KeyInProgress) as in_progress:
                await late.run("s", "k", _insert(kit, 2), request=1, wait=0)
    assert in_progress.value.retry_after is not None
    async with kit.transaction(connection) as idem:
        with pytest.raises(ParameterMismatch):
            await idem.run("s", "k", _insert(kit, 2), request=2)
    kit.age("k", 25 * 3600)
    async with kit.transaction(connection) as idem:
        with pytest.raises(AnswerExpired) as expired:
            await idem.run("s", "k", _insert(kit, 2), request=1)
    assert (expired.value.reference, expired.value.safe_new_key) == ("order 7", False)
    async with kit.transaction(connection) as idem:
        await idem.claim("s", "held", lease=5, abandoned="hold")
    kit.age("held", 10)
    async with kit.transaction(connection) as idem:
        with pytest.raises(Unresolved):
            await idem.run("s", "held", _insert(kit, 2))
    assert kit.work() == [1]


async def test_options_reach_the_key(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await idem.run("s", "k", _insert(kit, 1), replay_for=60, keep_for="2 days")
        record = await idem.lookup("s", "k")
    assert (record.replay_until - record.completed_at).total_seconds() == pytest.approx(60, abs=0.1)
    assert (record.forget_at - record.created_at).days == 2


async def test_a_lost_connection_raises_the_handlers_error(kit: Kit) -> None:
    async def handler(op: Any) -> None:
        [[pid]] = await kit.sql(op.connection, "select pg_backend_pid()")
        with psycopg.connect(kit.dsn, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
        raise ZeroDivisionError

    connection = await kit.open()
    idem = kit.idem(connection)
    with pytest.raises(ZeroDivisionError):
        await idem.run("s", "k", handler)
    assert kit.record().state == "unknown"


@pytest.mark.parametrize("kit", WAITING, indirect=True)
async def test_cancelling_leaves_nothing(kit: Kit) -> None:
    inside = asyncio.Event()

    async def handler(op: Any) -> None:
        await kit.sql(op.connection, "insert into work values (2)")
        inside.set()
        await asyncio.Event().wait()

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "insert into work values (1)")
        task = asyncio.ensure_future(idem.run("s", "k", handler))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (kit.work(), kit.record().state) == ([1], "unknown")
