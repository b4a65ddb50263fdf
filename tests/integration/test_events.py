"""Events, numbered streams, versions and consumers, over every kind of connection."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from idemdb import EventResult, InvalidArgument, OutcomeEvent
from tests.support.drivers import Kit

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _insert(kit: Kit, number: int, error: Exception | None = None) -> Any:
    """Return a handler that inserts a row, and returns its number, or raises."""

    async def handler(event: Any) -> int:
        await kit.sql(event.connection, f"insert into work values ({number})")
        if error:
            raise error
        return number

    return handler


async def _outcome(kit: Kit, event_id: str) -> str:
    """Return what another delivery of an event would be, and leave no trace."""
    connection = await kit.open()
    outcome = ""
    with contextlib.suppress(ZeroDivisionError):
        async with kit.transaction(connection) as idem:
            outcome = (await idem.process("billing", event_id)).outcome
            raise ZeroDivisionError
    return outcome


async def test_the_handler_runs_once(kit: Kit) -> None:
    connection = await kit.open()
    processed = []
    for _ in range(3):
        async with kit.transaction(connection) as idem:
            processed.append(await idem.process("billing", "e", _insert(kit, 1)))
    assert [(one.outcome, one.value, one.first_seen) for one in processed] == [
        ("first_seen", 1, True),
        ("duplicate", None, False),
        ("duplicate", None, False),
    ]
    async with kit.transaction(connection) as idem:
        assert (await idem.process("mailing", "e", _insert(kit, 2))).first_seen
        late = await idem.process("billing", "old", _insert(kit, 3), LONG_AGO)
        assert (late.outcome, late.value) == ("too_old", None)
        assert (await idem.process("billing", "new", _insert(kit, 3), datetime.now(UTC))).first_seen
    assert kit.work() == [1, 2, 3]


async def test_without_a_handler_the_caller_does_the_work(kit: Kit) -> None:
    connection = await kit.open()
    for outcome in ("first_seen", "duplicate"):
        async with kit.transaction(connection) as idem:
            assert (await idem.process("billing", "e")).outcome == outcome
    idle = await kit.open(autocommit=True)
    with pytest.raises(InvalidArgument, match="autocommit") as caught:
        await kit.idem(idle).process("billing", "other")
    assert (caught.value.scope, caught.value.key) == ("billing", "other")
    for call in (
        kit.idem(idle).process_many("billing", ["other"]),
        kit.idem(idle).process_offsets("billing", "s", [1]),
        kit.idem(idle).advance("billing", "a", 1),
    ):
        with pytest.raises(InvalidArgument, match="autocommit"):
            await call
    assert await _outcome(kit, "other") == "first_seen"


async def test_work_and_event_vanish_together(kit: Kit) -> None:
    connection = await kit.open()
    with pytest.raises(ZeroDivisionError):
        async with kit.transaction(connection) as idem:
            await idem.process("billing", "e", _insert(kit, 1))
            raise ZeroDivisionError
    assert (kit.work(), await _outcome(kit, "e")) == ([], "first_seen")


async def test_committing_is_the_callers(kit: Kit) -> None:
    connection = await kit.open()
    if kit.waits and type(kit).__name__ == "AsyncpgKit":
        pytest.skip("asyncpg has no transaction that begins by itself")
    if getattr(connection, "autocommit", False) is True:
        pytest.skip("in autocommit mode process commits by itself")
    assert (await kit.idem(connection).process("billing", "e", _insert(kit, 1))).first_seen
    assert (kit.work(), await _outcome_now(kit, "e")) == ([], "first_seen")
    with pytest.raises(ZeroDivisionError):
        await kit.idem(connection).process("billing", "f", _insert(kit, 2, ZeroDivisionError()))
    answer = connection.commit()
    if kit.waits:
        await answer
    assert (kit.work(), await _outcome(kit, "e")) == ([1], "duplicate")


async def _outcome_now(kit: Kit, event_id: str) -> str:
    """Say whether an event is committed, without waiting for who is at it."""
    with psycopg.connect(kit.dsn) as connection:
        row = connection.execute("select count(*) from idemdb.inbox").fetchone()
    assert row
    return "duplicate" if row[0] else "first_seen"


@pytest.mark.parametrize("statement", [None, "select 1 / 0"])
async def test_a_handler_that_fails_leaves_nothing_when_the_caller_commits(
    kit: Kit, statement: str | None
) -> None:
    async def handler(event: Any) -> None:
        await kit.sql(event.connection, "insert into work values (2)")
        if statement is None:
            raise ZeroDivisionError
        await kit.sql(event.connection, statement)

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "insert into work values (1)")
        with pytest.raises(kit.database_error if statement else ZeroDivisionError) as caught:
            await idem.process("billing", "e", handler)
        assert not getattr(caught.value, "__notes__", [])
        await kit.sql(connection, "insert into work values (3)")
    assert (kit.work(), await _outcome(kit, "e")) == ([1, 3], "first_seen")


async def test_a_failed_statement_that_the_handler_hides_is_no_success(kit: Kit) -> None:
    async def handler(event: Any) -> str:
        await kit.sql(event.connection, "insert into work values (2)")
        with pytest.raises(kit.database_error):
            await kit.sql(event.connection, "insert into work values (2)")
        return "all is well"

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        with pytest.raises(kit.database_error):
            await idem.process("billing", "e", handler)
        await kit.sql(connection, "insert into work values (1)")
    assert (kit.work(), await _outcome(kit, "e")) == ([1], "first_seen")


async def test_a_connection_in_autocommit_mode_gets_a_transaction_of_its_own(kit: Kit) -> None:
    connection = await kit.open(autocommit=True)
    idem = kit.idem(connection)
    if "Alchemy" in type(kit).__name__:
        # There even begin() begins nothing, so that the work would be unprotected.
        with pytest.raises(InvalidArgument, match="autocommit"):
            await idem.process("billing", "e", _insert(kit, 1))
        return
    with pytest.raises(ZeroDivisionError):
        await idem.process("billing", "e", _insert(kit, 1, ZeroDivisionError()))
    assert (kit.work(), await _outcome(kit, "e")) == ([], "first_seen")
    assert (await idem.process("billing", "e", _insert(kit, 1))).value == 1
    assert (await idem.process("billing", "e", _insert(kit, 2))).outcome == "duplicate"
    assert kit.work() == [1]


async def test_the_handler_knows_its_event(kit: Kit) -> None:
    keys: list[str] = []

    async def handler(event: Any) -> None:
        assert (event.connection, event.consumer, event.event_id) == (connection, "billing", "e")
        keys.extend([event.key_for("receipt"), event.key_for("receipt"), event.key_for("invoice")])
        with pytest.raises(InvalidArgument):
            event.key_for("\0")

    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await idem.process("billing", "e", handler)
    assert keys[0] == keys[1] != keys[2]
    # The same for ever: other services have it.
    assert keys[0] == "6eb64592-35b6-526d-8d82-baa30bb3a1ed"


async def test_a_batch_is_answered_by_position(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await idem.process("billing", "b")
    async with kit.transaction(connection) as idem:
        now = datetime.now(UTC)
        results = await idem.process_many(
            "billing", ["a", "b", "a", "ü", "old"], [None, None, now, now, LONG_AGO]
        )
        assert results == [
            EventResult(1, "a", "first_seen"),
            EventResult(2, "b", "duplicate"),
            EventResult(3, "a", "duplicate"),
            EventResult(4, "ü", "first_seen"),
            EventResult(5, "old", "too_old"),
        ]
        assert await idem.process_many("billing", []) == []
        assert [one.outcome for one in await idem.process_many("billing", ("c", "a"))] == [
            "first_seen",
            "duplicate",
        ]


async def test_failures_are_counted_until_the_event_is_dead(kit: Kit) -> None:
    idem = kit.idem(await kit.open(autocommit=True))
    connection = await kit.open()
    await idem.configure("consumer", "billing", {"max_attempts": 2})
    assert await idem.process_failed("billing", "e", "no luck") == "retrying"
    assert await _outcome(kit, "e") == "first_seen"
    assert await idem.process_failed("billing", "e", ZeroDivisionError("again")) == "dead"
    async with kit.transaction(connection) as bound:
        assert (await bound.process("billing", "e", _insert(kit, 1))).outcome == "dead"
        assert [one.outcome for one in await bound.process_many("billing", ["e"])] == ["dead"]
    async with kit.transaction(connection):
        [[error]] = await kit.sql(connection, "select last_error from idemdb.dead_letters where id = 'e'")
        assert error == "ZeroDivisionError: again"
    assert await idem.dead_letter("consumer", "billing", "e", "replay") == "replayed"
    async with kit.transaction(connection) as bound:
        assert (await bound.process("billing", "e", _insert(kit, 1))).first_seen
    with pytest.raises(InvalidArgument):
        await idem.dead_letter("consumer", "billing", "e", "drop")


async def test_streams_and_versions(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        assert await idem.process_offsets("billing", "orders-0", [3, 1, 2, 3]) == [1, 2, 3]
        assert await idem.process_offsets("billing", "orders-0", range(2, 6)) == [4, 5]
        assert await idem.process_offsets("billing", "orders-0", []) == []
        assert await idem.process_offsets("billing", "orders-0", [7, 2**40], floor=100) == [2**40]
        assert await idem.advance("billing", "account/7", 5) == "applied"
        assert await idem.advance("billing", "account/7", 5) == "stale"
        assert await idem.advance("billing", "account/7", 2**40) == "applied"
        with pytest.raises(InvalidArgument) as caught:
            await idem.process_offsets("billing", "orders-0", [-1])
        assert (caught.value.scope, caught.value.key) == ("billing", None)


async def test_outcomes_are_told_and_ids_are_not(kit: Kit) -> None:
    told: list[OutcomeEvent] = []
    connection = await kit.open()
    async with kit.transaction(connection):
        idem = kit.idem(connection, on_outcome=told.append)
        await idem.process("billing", "secret", _insert(kit, 1))
        await idem.process("billing", "secret", _insert(kit, 1))
        await idem.advance("billing", "secret", 1)
        await idem.outbox_add("mail", "secret", {})
    assert [(event.call, event.scope, event.outcome) for event in told] == [
        ("process", "billing", "first_seen"),
        ("process", "billing", "duplicate"),
        ("advance", "billing", "applied"),
        ("outbox_add", "mail", "added"),
    ]
    assert "secret" not in repr(told)


class TestConsumer:
    """From a delivery to whether to acknowledge it."""

    async def test_a_delivery_commits_before_it_is_acknowledged(self, kit: Kit) -> None:
        consumer = kit.consumer("billing")
        first = await consumer.handle("e", _insert(kit, 1))
        assert (first.outcome, first.value, first.error, first.acknowledge) == ("first_seen", 1, None, True)
        assert kit.work() == [1]
        again = await consumer.handle("e", _insert(kit, 2))
        assert (again.outcome, again.acknowledge) == ("duplicate", True)
        late = await consumer.handle("old", _insert(kit, 2), LONG_AGO)
        assert (late.outcome, late.acknowledge) == ("too_old", True)
        assert kit.work() == [1]

    async def test_a_failure_rolls_back_and_is_counted(self, kit: Kit) -> None:
        consumer = kit.consumer("billing")
        await kit.idem(await kit.open(autocommit=True)).configure("consumer", "billing", {"max_attempts": 2})
        for outcome, acknowledge in (("retrying", False), ("dead", True)):
            failed = await consumer.handle("e", _insert(kit, 1, ZeroDivisionError()))
            assert (failed.outcome, failed.acknowledge) == (outcome, acknowledge)
            assert isinstance(failed.error, ZeroDivisionError)
            assert kit.work() == []
        dead = await consumer.handle("e", _insert(kit, 1))
        assert (dead.outcome, dead.error, dead.acknowledge) == ("dead", None, True)

    async def test_a_lost_connection_counts(self, kit: Kit) -> None:
        async def handler(event: Any) -> None:
            [[pid]] = await kit.sql(event.connection, "select pg_backend_pid()")
            with psycopg.connect(kit.dsn, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
            await kit.sql(event.connection, "select 1")

        assert (await kit.consumer("billing").handle("e", handler)).outcome == "retrying"
        assert (await kit.consumer("billing").handle("e", _insert(kit, 1))).outcome == "first_seen"

    async def test_bad_arguments_are_the_callers(self, kit: Kit) -> None:
        with pytest.raises(InvalidArgument):
            await kit.consumer("billing").handle("", _insert(kit, 1))

    async def test_one_connection_can_be_kept_but_not_inside_a_transaction(self, kit: Kit) -> None:
        connection = await kit.open()
        consumer = kit.consumer("billing", lambda: contextlib.nullcontext(connection))
        for outcome in ("first_seen", "duplicate"):
            assert (await consumer.handle("e", _insert(kit, 1))).outcome == outcome
        async with kit.transaction(connection) as idem:
            await kit.sql(connection, "select 1")
            with pytest.raises(InvalidArgument, match="transaction"):
                await kit.consumer("billing", lambda: contextlib.nullcontext(connection)).handle(
                    "f", _insert(kit, 2)
                )
            await idem.version()
        assert kit.work() == [1]


async def test_the_outbox(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        added = await idem.outbox_add(
            "mail", "receipt/1", {"to": "ada@x", "n": [1.5, "ü"]}, {"h": "v"}, "ada"
        )
        again = await idem.outbox_add("mail", "receipt/1", {"n": [1.5, "ü"], "to": "ada@x"}, None, "ada")
        other = await idem.outbox_add("mail", "receipt/1", {"to": "bob@x"})
        assert (added.outcome, again.outcome, other.outcome) == ("added", "existing", "mismatch")
        assert added.id == again.id == other.id
        await idem.outbox_add("mail", "receipt/2", None)
        later = datetime.now(UTC) + timedelta(hours=1)
        await idem.outbox_add("mail", "receipt/3", "later", available_at=later)
    idem = kit.idem(await kit.open(autocommit=True))
    messages = await idem.outbox_take("mail", 10, timedelta(minutes=1))
    assert [message.dedup_key for message in messages] == ["receipt/1", "receipt/2"]
    first, second = messages
    assert (first.payload, first.headers, first.group_key) == (
        {"to": "ada@x", "n": [1.5, "ü"]},
        {"h": "v"},
        "ada",
    )
    assert (second.payload, second.headers, second.attempt) == (None, None, 1)
    assert first.claim_token == second.claim_token
    assert first.created_at.tzinfo is not None
    assert await idem.outbox_take("mail", 10, 60) == []
    assert await idem.outbox_done("mail", first.claim_token, [first.id]) == 1
    assert (
        await idem.outbox_retry("mail", second.claim_token, second.id, 0, OSError("no route")) == "retrying"
    )
    [again] = await idem.outbox_take("mail", 10, 60)
    assert (again.id, again.attempt) == (second.id, 2)
    await idem.configure("topic", "mail", {"max_attempts": 2})
    assert await idem.outbox_retry("mail", again.claim_token, again.id, 1.5, "no route") == "dead"
    assert await idem.dead_letter("topic", "mail", str(again.id), "drop") == "dropped"
