"""The same click many times at once, and handlers whose process is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import psycopg
import pytest

from idemdb import AsyncIdem, AsyncOp, Idem, Op, Outcome
from idemdb.testing import age_key
from tests.conftest import MakeConnection

CLICKS = 50
_WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
)


@pytest.fixture
def owner(dsn: str, make_conn: MakeConnection) -> psycopg.Connection[Any]:
    """Return a connection to a database with a table of charges."""
    conn = make_conn(dsn)
    conn.execute("create table charge (id integer generated always as identity)")
    conn.commit()
    return conn


def _charges(conn: psycopg.Connection[Any]) -> int:
    [count] = conn.execute("select count(*) from charge").fetchone() or [None]
    conn.rollback()
    return int(count or 0)


def _one_execution(outcomes: list[Outcome[Any]]) -> None:
    """Assert that one ran and all have the same answer."""
    assert sorted(outcome.outcome for outcome in outcomes) == ["replayed"] * (CLICKS - 1) + ["started"]
    assert {outcome.value["charge"] for outcome in outcomes} == {outcomes[0].value["charge"]}


def _waiters(conn: psycopg.Connection[Any]) -> int:
    [count] = conn.execute(_WAITING).fetchone() or [None]
    return int(count or 0)


def test_fifty_threads_charge_once(
    owner: psycopg.Connection[Any], dsn: str, make_conn: MakeConnection
) -> None:
    def charge(op: Op) -> dict[str, int]:
        [number] = op.connection.execute("insert into charge default values returning id").fetchone()
        return {"charge": number}

    def click(_: int) -> Outcome[Any]:
        with psycopg.connect(dsn) as conn:
            return Idem(conn).run("s", "k", charge, request={"amount": 5}, wait=60)

    # All arrive while somebody holds the key, who then gives up.
    Idem(owner).claim("s", "k", request={"amount": 5})
    monitor = make_conn(dsn, autocommit=True)
    with ThreadPoolExecutor(CLICKS) as pool:
        clicks = pool.map(click, range(CLICKS))
        for _ in range(3000):
            if _waiters(monitor) == CLICKS:
                break
            monitor.execute("select pg_sleep(0.01)")
        owner.rollback()
        outcomes = list(clicks)
    _one_execution(outcomes)
    assert _charges(owner) == 1


async def test_fifty_tasks_charge_once(
    owner: psycopg.Connection[Any], dsn: str, make_conn: MakeConnection
) -> None:
    async def charge(op: AsyncOp) -> dict[str, int]:
        return {"charge": await op.connection.fetchval("insert into charge default values returning id")}

    async def click() -> Outcome[Any]:
        conn = await asyncpg.connect(dsn)
        try:
            return await AsyncIdem(conn).run("s", "k", charge, request={"amount": 5}, wait=60)
        finally:
            await conn.close()

    Idem(owner).claim("s", "k", request={"amount": 5})
    monitor = make_conn(dsn, autocommit=True)
    clicks = [asyncio.create_task(click()) for _ in range(CLICKS)]
    for _ in range(3000):
        if _waiters(monitor) == CLICKS:
            break
        await asyncio.sleep(0.01)
    owner.rollback()
    _one_execution(list(await asyncio.gather(*clicks)))
    assert _charges(owner) == 1


# A handler that stops where it is told to, having written a row in its transaction.
_HANDLER = """
import sys
import psycopg
from idemdb import Idem

dsn, lease = sys.argv[1], float(sys.argv[2]) or None

def charge():
    with psycopg.connect(dsn) as bank:
        bank.execute("insert into charge default values")
    return "charged"

def handler(op):
    if lease:
        op.step("charge", charge)
    op.connection.execute("insert into charge default values")
    print("here", flush=True)
    sys.stdin.read()

with psycopg.connect(dsn) as conn:
    Idem(conn).run("s", "k", handler, lease=lease)
"""


def _kill_inside(dsn: str, lease: float) -> None:
    """Run the handler in a process, and kill that while the handler works."""
    command = [sys.executable, "-c", _HANDLER, dsn, str(lease)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)


def test_a_killed_handler_leaves_nothing(owner: psycopg.Connection[Any], dsn: str) -> None:
    _kill_inside(dsn, 0)
    outcome = Idem(owner).run("s", "k", lambda op: op.claim.attempt, wait=30)
    assert (outcome.outcome, outcome.value) == ("started", 1)
    assert _charges(owner) == 0


def test_a_killed_leased_handler_is_resumed_after_its_step(owner: psycopg.Connection[Any], dsn: str) -> None:
    _kill_inside(dsn, 60)
    assert _charges(owner) == 1
    age_key(owner, "s", "k", 61)
    owner.commit()

    def again() -> str:
        raise AssertionError("the step was finished")

    outcome = Idem(owner).run("s", "k", lambda op: op.step("charge", again), lease=60)
    assert (outcome.outcome, outcome.value) == ("resumed", "charged")
    assert _charges(owner) == 1
