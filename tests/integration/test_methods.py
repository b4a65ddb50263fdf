"""Every method of Idem and AsyncIdem, over every kind of connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from idemdb import (
    AlreadyClaimed,
    Answer,
    ClaimLost,
    Fingerprint,
    IdemError,
    InvalidArgument,
    KeyInProgress,
    OutcomeEvent,
    ParameterMismatch,
)
from idemdb.errors import sqlstate_of
from tests.support.drivers import Kit

REQUEST = {"amount": Decimal("5.00"), "to": "ü"}


async def test_an_answer_comes_back_as_it_was_stored(kit: Kit) -> None:
    connection = await kit.open()
    answer = {
        "status": 201,
        "headers": {"ETag": 'W/"1"'},
        "body": bytes(range(256)),
        "result": {"id": 7, "ok": [True, None, 1.5, "ü"]},
        "reference": "order 7",
    }
    async with kit.transaction(connection) as idem:
        claim = await idem.claim("s", "k", request=REQUEST)
        assert (claim.outcome, claim.attempt, claim.granted) == ("started", 1, True)
        completed_at = await idem.complete("s", "k", claim.claim_token, **answer)
    async with kit.transaction(connection) as idem:
        replay = await idem.claim("s", "k", request={"to": "ü", "amount": Decimal("5.00")})
    assert replay.outcome == "replayed"
    assert {name: getattr(replay, name) for name in answer} == answer
    assert type(replay.body) is bytes
    assert isinstance(completed_at, datetime)
    assert replay.completed_at == completed_at
    assert replay.completed_at.tzinfo is not None


async def test_the_fingerprint_is_the_databases(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        digest = await idem.fingerprint({**REQUEST, "sent_at": 1}, ["{sent_at}"])
        assert isinstance(digest, Fingerprint)
        await idem.claim("s", "k", request=REQUEST)
        assert (await idem.lookup("s", "k")).fingerprint == digest
        [[in_sql]] = await kit.sql(
            connection, """select encode(idemdb.fingerprint('{"to": "ü", "amount": 5.00}'), 'hex')"""
        )
        assert in_sql == digest.hex()


async def test_another_request_is_refused(kit: Kit) -> None:
    pairs: list[tuple[Any, Any, str]] = [
        (b"body", b"body", "replayed"),
        (b"body", b"other", "mismatch"),
        (None, None, "replayed"),
        (None, {}, "mismatch"),
        (Fingerprint(b"\x01" * 32), Fingerprint(b"\x01" * 32), "replayed"),
        ({"n": Decimal(1)}, {"n": Decimal("1.0")}, "mismatch"),
    ]
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        for number, (first, second, outcome) in enumerate(pairs):
            key = f"k{number}"
            claim = await idem.claim("s", key, request=first)
            await idem.complete("s", key, claim.claim_token)
            assert (await idem.claim("s", key, request=second)).outcome == outcome


async def test_a_claim_vanishes_with_its_transaction(kit: Kit) -> None:
    connection = await kit.open()
    with pytest.raises(ZeroDivisionError):
        async with kit.transaction(connection) as idem:
            await idem.claim("s", "k")
            raise ZeroDivisionError
    async with kit.transaction(connection) as idem:
        assert (await idem.lookup("s", "k")).state == "unknown"


async def test_a_bound_claim_without_a_transaction_is_refused(kit: Kit) -> None:
    idem = kit.idem(await kit.open(autocommit=True))
    with pytest.raises(InvalidArgument, match="autocommit") as caught:
        await idem.claim("s", "k")
    assert (caught.value.scope, caught.value.key) == ("s", "k")
    assert (await idem.lookup("s", "k")).state == "unknown"
    assert (await idem.claim("s", "k", lease=60)).outcome == "started"


async def test_a_leased_claim_from_beginning_to_end(kit: Kit) -> None:
    idem = kit.idem(await kit.open(autocommit=True))
    claim = await idem.claim(
        "s", "k", lease=timedelta(minutes=1), replay_for=3600, keep_for="40 days", abandoned="hold"
    )
    assert await idem.renew("s", "k", claim.claim_token, 120) > claim.claimed_at + timedelta(seconds=100)
    await idem.checkpoint("s", "k", claim.claim_token, "sent", data={"id": 1}, lease=30.5)
    record = await idem.lookup("s", "k")
    assert (record.state, record.recovery_point, record.recovery_data) == ("running", "sent", {"id": 1})
    assert record.forget_at - record.created_at == timedelta(days=40)
    await idem.release("s", "k", claim.claim_token, "no luck")
    record = await idem.lookup("s", "k")
    assert (record.state, record.last_error, record.lease_until) == ("released", "no luck", None)
    again = await idem.claim("s", "k", lease=60)
    assert (again.outcome, again.attempt, again.recovery_data) == ("resumed", 2, {"id": 1})
    with pytest.raises(ClaimLost) as caught:
        await idem.complete("s", "k", claim.claim_token)
    assert (caught.value.scope, caught.value.key, caught.value.safe_new_key) == ("s", "k", False)
    assert caught.value.hint
    assert sqlstate_of(caught.value.__cause__ or caught.value) == "ID003"
    await idem.complete("s", "k", again.claim_token, result=[])
    assert (await idem.claim("s", "k", lease=60)).value == []


async def test_outcomes_can_be_raised(kit: Kit) -> None:
    idem = kit.idem(await kit.open(autocommit=True))
    await idem.claim("s", "k", request=1, lease=60)
    with pytest.raises(KeyInProgress) as in_progress:
        await idem.claim("s", "k", request=1, lease=60, wait=0, raise_=True)
    assert 50 < (in_progress.value.retry_after or 0) <= 60
    with pytest.raises(ParameterMismatch) as mismatch:
        await idem.claim("s", "k", request=2, lease=60, raise_=True)
    assert mismatch.value.safe_new_key


async def test_bad_arguments_are_refused_by_sql_with_a_hint(kit: Kit) -> None:
    connection = await kit.open()
    bad: list[dict[str, Any]] = [
        {"scope": "", "key": "k"},
        {"scope": "s", "key": "x" * 256},
        {"scope": "s", "key": "k", "lease": -1},
        {"scope": "s", "key": "k", "wait": -1},
        {"scope": "s", "key": "k", "replay_for": 10, "keep_for": 5},
        {"scope": "s", "key": "k", "abandoned": "whatever"},
    ]
    for arguments in bad:
        with pytest.raises(InvalidArgument) as caught:
            async with kit.transaction(connection) as idem:
                await idem.claim(**arguments)
        assert caught.value.hint, arguments
        assert caught.value.__cause__ is not None


async def test_a_second_claim_of_one_transaction_is_an_error(kit: Kit) -> None:
    connection = await kit.open()
    with pytest.raises(AlreadyClaimed):
        async with kit.transaction(connection) as idem:
            await idem.claim("s", "k")
            await idem.claim("s", "k")


async def test_execute_runs_a_function_once(kit: Kit) -> None:
    connection = await kit.open()
    function = """
        create function pay(p_args jsonb) returns jsonb language plpgsql as $$
        begin
            insert into work values ((p_args ->> 'n')::integer);
            return jsonb_build_object('paid', p_args -> 'n');
        end $$"""
    idem = kit.idem(await kit.open(autocommit=True))
    async with kit.transaction(connection):
        await kit.sql(connection, function)
    first = await idem.execute("s", "k", "public.pay", {"n": 1, "at": 1}, exclude=["{at}"], keep_for="2 days")
    again = await idem.execute("s", "k", "public.pay", {"n": 1, "at": 2}, exclude=["{at}"], wait=1)
    assert (first.outcome, again.outcome) == ("started", "replayed")
    assert first.result == again.result == {"paid": 1}
    with pytest.raises(ParameterMismatch):
        await idem.execute("s", "k", "public.pay", {"n": 2}, raise_=True)
    async with kit.transaction(connection):
        assert await kit.sql(connection, "select n from work") == [(1,)]


async def test_the_house(kit: Kit) -> None:
    idem = kit.idem(await kit.open(autocommit=True))
    assert await idem.version() >= 1
    claim = await idem.claim("s", "k", lease=60, abandoned="hold")
    kit.age("k", 61)
    assert (await idem.claim("s", "k", lease=1)).outcome == "unresolved"
    answer = Answer(status=200, body=b"\x00\xff", reference="looked up")
    assert await idem.resolve("s", "k", "completed", "the bank has it", answer) == "done"
    replay = await idem.claim("s", "k", lease=1)
    assert (replay.status, replay.body, replay.reference) == (200, b"\x00\xff", "looked up")
    with pytest.raises(ClaimLost):
        await idem.complete("s", "k", claim.claim_token)
    swept = await idem.sweep(100)
    assert swept[0].pass_complete in (True, False)
    assert await idem.forget("s") == 1
    assert await idem.forget("s", "k") == 0
    with pytest.raises(InvalidArgument):
        await idem.configure("no such kind", "name", {})


async def test_outcomes_are_told_and_keys_are_not(kit: Kit) -> None:
    events: list[OutcomeEvent] = []

    def observe(event: OutcomeEvent) -> None:
        events.append(event)
        raise ZeroDivisionError

    idem = kit.idem(await kit.open(autocommit=True), on_outcome=observe)
    await idem.claim("s", "secret", lease=60)
    with pytest.raises(KeyInProgress):
        await idem.claim("s", "secret", lease=60, wait=0, raise_=True)
    assert [(event.call, event.scope, event.outcome) for event in events] == [
        ("claim", "s", "started"),
        ("claim", "s", "in_progress"),
    ]
    assert events[0].attempt == 1
    assert "secret" not in repr(events)
    assert all(event.seconds > 0 for event in events)


async def test_a_replay_works_read_only_and_a_claim_says_why_not(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        claim = await idem.claim("s", "k")
        await idem.complete("s", "k", claim.claim_token, result=1)
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "set transaction read only")
        assert (await idem.claim("s", "k")).value == 1
    with pytest.raises(kit.database_error) as caught:
        async with kit.transaction(connection) as idem:
            await kit.sql(connection, "set transaction read only")
            await idem.claim("s", "other")
    assert sqlstate_of(caught.value) == "25006"
    assert not isinstance(caught.value, IdemError)
