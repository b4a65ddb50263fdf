"""``run`` with a lease, over every kind of connection: steps, takeovers, renewal."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from idemdb import Answer, ClaimLost, InvalidArgument, KeyInProgress, Unresolved
from tests.support.drivers import WAITING, Kit


class Bank:
    """A foreign service that counts what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def charge(self, name: str = "charge") -> Any:
        """Return the function of a step."""

        def call() -> dict[str, Any]:
            self.calls.append(name)
            return {"name": name, "number": len(self.calls)}

        return call


@pytest.fixture
async def connection(kit: Kit) -> Any:
    return await kit.open()


async def test_steps_are_remembered_and_the_answer_replayed(kit: Kit, connection: Any) -> None:
    bank = Bank()

    async def handler(op: Any) -> Any:
        await kit.sql(connection, "insert into work values (1)")
        first = await op.step("charge", bank.charge())
        seen = kit.record().state, kit.record().recovery_point, kit.work()
        await kit.sql(connection, "insert into work values (2)")
        again = await op.step("charge", bank.charge())
        second = await op.step("mail", bank.charge("mail"))
        return [first == again, second["number"], seen]

    idem = kit.idem(connection)
    outcome = await idem.run("s", "k", handler, lease=60, request=[1])
    # The step committed with what had been written before it, under a claim that still ran.
    assert outcome.value == [True, 2, ["running", "charge", [1]]]
    assert (await idem.run("s", "k", handler, lease=60, request=[1])).value == outcome.value
    assert bank.calls == ["charge", "mail"]
    assert kit.work() == [1, 2]


async def test_a_finished_step_is_not_called_again_after_a_crash(kit: Kit) -> None:
    bank = Bank()
    crashed = await kit.open()

    async def crashing(op: Any) -> None:
        await op.step("charge", bank.charge())
        await kit.sql(op.connection, "insert into work values (1)")
        [[pid]] = await kit.sql(op.connection, "select pg_backend_pid()")
        with psycopg.connect(kit.dsn, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
        await kit.sql(op.connection, "select 1")

    async def resuming(op: Any) -> Any:
        assert (op.claim.outcome, op.recovery_point) == ("resumed", "charge")
        charge = await op.step("charge", bank.charge())
        mail = await op.step("mail", bank.charge("mail"))
        return [charge["number"], mail["number"]]

    with pytest.raises(Exception, match=r"terminat|closed|connection"):
        await kit.idem(crashed).run("s", "k", crashing, lease=60)
    # SQLAlchemy's Connection connects again by itself, and so can still give the claim back.
    assert kit.record().state in ("running", "released")
    kit.age("k", 61)
    outcome = await kit.idem(await kit.open()).run("s", "k", resuming, lease=60)
    assert outcome.value == [1, 2]
    assert outcome.claim.attempt == 2
    assert bank.calls == ["charge", "mail"]
    assert kit.work() == []


async def test_a_handler_that_raises_releases_with_the_error(kit: Kit, connection: Any) -> None:
    bank = Bank()

    async def failing(op: Any) -> None:
        await op.step("charge", bank.charge())
        await kit.sql(connection, "insert into work values (1)")
        raise ZeroDivisionError("no luck\nDETAIL: secret")

    idem = kit.idem(connection)
    with pytest.raises(ZeroDivisionError):
        await idem.run("s", "k", failing, lease=60, abandoned="hold")
    record = kit.record()
    assert (record.state, record.last_error) == ("released", "ZeroDivisionError: no luck")
    assert kit.work() == []
    with pytest.raises(ZeroDivisionError):
        await idem.run("s", "k", failing, lease=60)
    assert bank.calls == ["charge"]


@pytest.mark.parametrize(("abandoned", "state"), [("hold", "running"), ("retry", "released")])
async def test_a_foreign_call_of_unknown_end_is_held(
    kit: Kit, connection: Any, abandoned: str, state: str
) -> None:
    async def time_out() -> None:
        raise TimeoutError

    async def handler(op: Any) -> None:
        await op.step("charge", time_out)

    idem = kit.idem(connection)
    with pytest.raises(TimeoutError):
        await idem.run("s", "k", handler, lease=60, abandoned=abandoned)
    assert kit.record().state == state
    kit.age("k", 61)
    assert kit.record().state == ("unresolved" if abandoned == "hold" else "released")


async def test_an_answer_whose_remembering_fails_is_held(kit: Kit, connection: Any) -> None:
    async def handler(op: Any) -> None:
        await op.step("charge", object)

    with pytest.raises(InvalidArgument):
        await kit.idem(connection).run("s", "k", handler, lease=60, abandoned="hold")
    assert kit.record().state == "running"


async def test_an_answer_that_is_raised_keeps_the_steps(kit: Kit, connection: Any) -> None:
    async def declined() -> None:
        raise Answer(status=402, result="declined")

    async def handler(op: Any) -> None:
        await kit.sql(connection, "insert into work values (1)")
        await op.step("reserve", lambda: 1)
        await kit.sql(connection, "insert into work values (2)")
        await op.step("charge", declined)

    outcome = await kit.idem(connection).run("s", "k", handler, lease=60, abandoned="hold")
    assert (outcome.value, outcome.claim.status) == ("declined", 402)
    assert kit.record().state == "done"
    assert kit.work() == [1]


async def _take_over(kit: Kit) -> None:
    """Let another holder take the key over while it is held."""
    kit.age("k", 61)
    other = kit.idem(await kit.open(autocommit=True))
    claim = await other.claim("s", "k", lease=60)
    assert claim.attempt == 2


async def test_a_late_holder_makes_no_foreign_call(kit: Kit, connection: Any) -> None:
    bank = Bank()

    async def handler(op: Any) -> None:
        await kit.sql(connection, "insert into work values (1)")
        await _take_over(kit)
        assert not op.lost
        with pytest.raises(ClaimLost):
            await op.step("charge", bank.charge())
        assert op.lost
        await op.step("charge", bank.charge())

    with pytest.raises(ClaimLost) as caught:
        await kit.idem(connection).run("s", "k", handler, lease=60)
    assert (caught.value.scope, caught.value.key) == ("s", "k")
    assert bank.calls == []
    record = kit.record()
    assert (record.state, record.attempt, record.last_error) == ("running", 2, None)
    assert kit.work() == []


async def test_a_holder_that_is_late_in_a_step_loses_its_writes(kit: Kit, connection: Any) -> None:
    async def slow() -> int:
        await _take_over(kit)
        return 1

    async def handler(op: Any) -> None:
        await kit.sql(connection, "insert into work values (1)")
        await op.step("charge", slow)

    with pytest.raises(ClaimLost):
        await kit.idem(connection).run("s", "k", handler, lease=60)
    record = kit.record()
    assert (record.state, record.attempt, record.recovery_point) == ("running", 2, None)
    assert kit.work() == []


async def test_a_holder_that_is_late_at_the_end_loses_its_writes(kit: Kit, connection: Any) -> None:
    async def handler(op: Any) -> None:
        await kit.sql(connection, "insert into work values (1)")
        await _take_over(kit)

    with pytest.raises(ClaimLost):
        await kit.idem(connection).run("s", "k", handler, lease=60)
    assert kit.record().state == "running"
    assert kit.work() == []


async def test_an_open_transaction_is_refused(kit: Kit) -> None:
    connection = await kit.open()
    async with kit.transaction(connection) as idem:
        await kit.sql(connection, "insert into work values (1)")
        with pytest.raises(InvalidArgument, match="transaction open"):
            await idem.run("s", "k", lambda op: None, lease=60)
    assert kit.record().state == "unknown"
    assert kit.work() == [1]


async def test_a_running_holder_is_in_progress_for_others(kit: Kit, connection: Any) -> None:
    async def handler(op: Any) -> None:
        other = kit.idem(await kit.open())
        with pytest.raises(KeyInProgress) as caught:
            await other.run("s", "k", lambda op: None, lease=60, wait=0)
        assert 50 < (caught.value.retry_after or 0) <= 60

    await kit.idem(connection).run("s", "k", handler, lease=60)


async def _until(kit: Kit, condition: Any) -> None:
    """Wait until a condition holds, for ten seconds at most."""
    for _ in range(500):
        if await condition():
            return
        # A synchronous handler may not wait for the event loop.
        if kit.waits:
            await asyncio.sleep(0.02)
        else:
            threading.Event().wait(0.02)
    raise AssertionError("in vain")


async def test_the_lease_is_renewed_while_the_handler_works(kit: Kit, connection: Any) -> None:
    async def handler(op: Any) -> None:
        claimed = kit.record().lease_until
        assert claimed is not None

        async def renewed_twice() -> bool:
            now = kit.record().lease_until
            return now is not None and (now - claimed).total_seconds() > 0.6

        await _until(kit, renewed_twice)
        assert not op.lost

    idem = kit.idem(connection, connect=kit.factory())
    assert (await idem.run("s", "k", handler, lease=1.2)).outcome == "started"


async def test_renewal_finds_the_claim_lost(kit: Kit, connection: Any) -> None:
    bank = Bank()

    async def handler(op: Any) -> None:
        await _take_over(kit)

        async def lost() -> bool:
            found: bool = op.lost
            return found

        await _until(kit, lost)
        await op.step("charge", bank.charge())

    idem = kit.idem(connection, connect=kit.factory())
    with pytest.raises(ClaimLost):
        await idem.run("s", "k", handler, lease=0.9)
    assert bank.calls == []


async def test_renewal_ends_with_the_run(kit: Kit, connection: Any) -> None:
    idem = kit.idem(connection, connect=kit.factory())
    await idem.run("s", "k", lambda op: None, lease=0.9)
    assert [thread.name for thread in threading.enumerate() if thread.name == "idemdb-renewal"] == []
    assert [task for task in asyncio.all_tasks() if task.get_name() == "idemdb-renewal"] == []


async def test_a_renewal_that_fails_is_tried_again(
    kit: Kit, connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    factory = kit.factory()
    opened: list[int] = []

    def unreliable() -> Any:
        opened.append(1)
        if len(opened) == 1:
            raise ConnectionRefusedError
        return factory() if callable(factory) else factory.connect()

    async def handler(op: Any) -> None:
        claimed = kit.record().lease_until
        assert claimed is not None

        async def renewed() -> bool:
            now = kit.record().lease_until
            return now is not None and now > claimed

        await _until(kit, renewed)

    await kit.idem(connection, connect=unreliable).run("s", "k", handler, lease=1.2)
    assert len(opened) >= 2
    assert "ConnectionRefusedError" in caplog.text


@pytest.mark.parametrize("kit", WAITING, indirect=True)
async def test_cancelling_releases(kit: Kit, connection: Any) -> None:
    inside = asyncio.Event()

    async def handler(op: Any) -> None:
        await kit.sql(connection, "insert into work values (1)")
        inside.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(kit.idem(connection).run("s", "k", handler, lease=60))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (kit.record().state, kit.work()) == ("released", [])


class TestReconcile:
    """Asking the other side what became of a holder that vanished."""

    async def _vanish(self, kit: Kit) -> Any:
        """Leave a held key unresolved; return a connection."""
        idem = kit.idem(await kit.open(autocommit=True))
        claim = await idem.claim("s", "k", lease=60, abandoned="hold")
        await idem.checkpoint("s", "k", claim.claim_token, "quote", data={"steps": {"quote": 5}}, lease=60)
        kit.age("k", 61)
        return await kit.open()

    async def _run(self, kit: Kit, connection: Any, verdict: Any, calls: list[str] | None = None) -> Any:
        async def reconcile(record: Any) -> Any:
            assert (record.state, record.recovery_point) == ("unresolved", "quote")
            if calls is not None:
                calls.append("reconcile")
            return verdict

        async def handler(op: Any) -> Any:
            if calls is not None:
                calls.append("handler")

            async def nothing() -> int:
                raise AssertionError

            return [op.recovery_point, await op.step("quote", nothing)]

        idem = kit.idem(connection)
        return await idem.run("s", "k", handler, lease=60, abandoned="hold", reconcile=reconcile)

    async def _notes(self, kit: Kit) -> list[tuple[str, str]]:
        with psycopg.connect(kit.dsn) as admin:
            return admin.execute("select action, note from idemdb.audit").fetchall()

    async def test_it_was_done(self, kit: Kit) -> None:
        connection, calls = await self._vanish(kit), list[str]()
        outcome = await self._run(kit, connection, Answer(status=200, result={"id": 1}), calls)
        assert (outcome.outcome, outcome.value, outcome.claim.status) == ("replayed", {"id": 1}, 200)
        [(action, note)] = await self._notes(kit)
        assert action == "resolve:completed"
        assert note.startswith("reconciled by ")
        assert (await self._run(kit, connection, None, calls)).value == {"id": 1}
        assert calls == ["reconcile"]

    async def test_it_was_not_done(self, kit: Kit) -> None:
        connection, calls = await self._vanish(kit), list[str]()
        outcome = await self._run(kit, connection, "retry", calls)
        assert (outcome.outcome, outcome.value) == ("resumed", ["quote", 5])
        assert calls == ["reconcile", "handler"]

    async def test_nobody_knows(self, kit: Kit) -> None:
        connection = await self._vanish(kit)
        with pytest.raises(Unresolved):
            await self._run(kit, connection, None)
        with pytest.raises(InvalidArgument, match="reconcile"):
            await self._run(kit, connection, "done")
        assert kit.record().state == "unresolved"
        assert await self._notes(kit) == []

    async def test_somebody_else_was_faster(self, kit: Kit) -> None:
        connection = await self._vanish(kit)

        async def reconcile(record: Any) -> Any:
            with psycopg.connect(kit.dsn) as admin:
                admin.execute("select idemdb.resolve('s', 'k', 'completed', 'seen', '{\"result\": 1}')")
            return "retry"

        async def handler(op: Any) -> None:
            raise AssertionError

        idem = kit.idem(connection)
        outcome = await idem.run("s", "k", handler, lease=60, abandoned="hold", reconcile=reconcile)
        assert (outcome.outcome, outcome.value) == ("replayed", 1)

    async def test_a_run_in_the_callers_transaction_has_none(self, kit: Kit) -> None:
        connection = await kit.open()
        async with kit.transaction(connection) as idem:
            with pytest.raises(InvalidArgument, match="lease"):
                await idem.run("s", "k", lambda op: None, reconcile=lambda record: None)
