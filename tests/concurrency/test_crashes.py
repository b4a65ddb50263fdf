"""A client or its backend dies at each step of each flow; the client comes back, and it was done once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from idemdb.demo.proxy import COMMIT, Cut, FaultProxy
from idemdb.embedded import EmbeddedPostgres
from tests.support.database import Server, install

from .client import FLOWS, VERBS, Client, connect, variables_of
from .programs import SETUP
from .waits import meanwhile, until, until_blocked, until_gone

EVERYWHERE = [(flow, step) for flow, steps in FLOWS.items() for step in range(len(steps) + 1)]
at_each_step = pytest.mark.parametrize(("flow", "step"), EVERYWHERE)


def was_committed(flow: str, step: int) -> bool:
    """Tell whether the flow's work was committed by its first steps."""
    return step == len(FLOWS[flow])


def come_back(dsn: str, flow: str) -> dict[str, Any]:
    """Send the same request again, as Z, until it has an answer; leases without a holder run out meanwhile.

    :returns: the variables of the client: outcome and answer among them.
    """
    with connect(dsn) as connection, connect(dsn) as owner:
        for _ in range(3):
            again = Client("Z", connection, **variables_of(flow) | {"wait": "2s"})
            again.run(FLOWS[flow])
            if again.variables["outcome"] != "in_progress":
                return again.variables
            Client("X", owner).run([VERBS.age()])
    pytest.fail("the key never comes free")


def assert_done_once(dsn: str, flow: str, *, committed: bool) -> None:
    """Come back twice: the work is done once, by the first client exactly if that had committed."""
    who = "A" if committed else "Z"
    first = come_back(dsn, flow)
    assert first["outcome"] in ({"replayed"} if committed else {"started", "resumed"})
    with connect(dsn) as connection:
        effects = connection.execute("select session from public.effect").fetchall()
    assert effects == [{"session": who}]
    second = come_back(dsn, flow)
    assert second["outcome"] == "replayed"
    assert second["result"] == {"by": who}


@at_each_step
def test_client_is_killed(stage: str, flow: str, step: int) -> None:
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.concurrency.client", stage, flow, str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"here\n"
        client.send_signal(signal.SIGKILL)
    assert_done_once(stage, flow, committed=was_committed(flow, step))


@at_each_step
def test_backend_is_terminated(stage: str, flow: str, step: int) -> None:
    with connect(stage) as owner, connect(stage) as connection:
        client = Client("A", connection, **variables_of(flow))
        client.run(FLOWS[flow][:step])
        owner.execute("select pg_catalog.pg_terminate_backend(%s)", [connection.info.backend_pid])
        until_gone(owner, connection.info.backend_pid)
        if not was_committed(flow, step):
            with pytest.raises(psycopg.OperationalError):
                client.run(FLOWS[flow][step:])
    assert_done_once(stage, flow, committed=was_committed(flow, step))


def test_client_is_killed_while_it_waits(stage: str) -> None:
    with connect(stage) as holder:
        held = Client("A", holder, lease=None)
        held.run(FLOWS["bound"][:1])
        waiter = subprocess.Popen(
            [sys.executable, "-m", "tests.concurrency.client", stage, "bound", "4"], stdin=subprocess.PIPE
        )
        with waiter:
            blocked = """
                select pid from pg_catalog.pg_stat_activity
                 where %s = any(pg_catalog.pg_blocking_pids(pid)) and datname = current_database()
            """
            with connect(stage) as monitor:
                mine = [holder.info.backend_pid]
                until(lambda: bool(monitor.execute(blocked, mine).fetchone()), "the other one waits")
            waiter.send_signal(signal.SIGKILL)
        held.run(FLOWS["bound"][1:])
    assert_done_once(stage, "bound", committed=True)


def test_client_is_killed_while_execute_runs(stage: str) -> None:
    """The server finishes what it began: the answer that nobody heard is replayed."""
    with connect(stage) as gate, connect(stage) as monitor:
        gate.execute("select pg_catalog.pg_advisory_lock(7)")
        gate.execute("""
            create or replace function public.pay(p_request jsonb) returns jsonb language sql as $$
                select pg_catalog.pg_advisory_xact_lock_shared(7);
                insert into public.effect
                select p_request ->> 'by', p_request ->> 'scope', p_request ->> 'key'
                returning pg_catalog.jsonb_build_object('by', session)
            $$
        """)
        client = subprocess.Popen(
            [sys.executable, "-m", "tests.concurrency.client", stage, "execute, own transaction", "1"],
            stdin=subprocess.PIPE,
        )
        with client:
            waits = "select pid from pg_catalog.pg_locks where objid = 7 and not granted"
            until(lambda: bool(monitor.execute(waits).fetchone()), "the function runs")
            row = monitor.execute(waits).fetchone()
            client.send_signal(signal.SIGKILL)
        gate.execute("select pg_catalog.pg_advisory_unlock(7)")
        assert row is not None
        until_gone(monitor, row["pid"])
    assert_done_once(stage, "execute, own transaction", committed=True)


def test_backend_is_terminated_while_it_waits(stage: str) -> None:
    with (
        connect(stage) as holder,
        connect(stage) as connection,
        connect(stage) as owner,
        meanwhile() as submit,
    ):
        held = Client("A", holder, lease=None)
        held.run(FLOWS["bound"][:1])
        waiting = submit(Client("B", connection, lease=None).run, FLOWS["bound"])
        until_blocked(owner, connection.info.backend_pid)
        owner.execute("select pg_catalog.pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            waiting.result(20)
        held.run(FLOWS["bound"][1:])
    assert_done_once(stage, "bound", committed=True)


@pytest.mark.parametrize("when", list(Cut))
@pytest.mark.parametrize("flow", list(FLOWS))
def test_connection_is_cut_at_commit(stage: str, flow: str, when: Cut) -> None:
    target = conninfo_to_dict(stage)
    statement = (
        COMMIT if COMMIT.fullmatch(FLOWS[flow][-1].statements[-1]) else re.compile(".*execute.*", re.DOTALL)
    )
    with FaultProxy(str(target["host"]), int(str(target["port"]))) as proxy:
        proxy.cut_next(when, statement)
        connection = connect(make_conninfo(stage, host=proxy.host, port=proxy.port))
        with pytest.raises(psycopg.OperationalError):
            Client("A", connection, **variables_of(flow)).run(FLOWS[flow])
        assert proxy.cuts == 1
    assert_done_once(stage, flow, committed=when is Cut.AFTER)


@pytest.fixture(scope="module")
def durable(server: Server) -> Iterator[str]:
    """Return the DSN of a server of our own that keeps what it acknowledged, with idemdb in it."""
    with EmbeddedPostgres(bindir=server.bindir, durable=True) as own:
        where = {"host": own.host, "port": str(own.port), "user": own.user, "password": own.password}
        install(autocommit=True, dbname="postgres", **where)
        with psycopg.connect(own.dsn) as connection:
            connection.execute(SETUP)
        yield own.dsn


def until_recovered(dsn: str) -> None:
    """Wait until the server has restarted after the death of one of its processes."""

    def accepts() -> bool:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
            return False
        return True

    until(accepts, "the server accepts connections")


@pytest.mark.parametrize(
    ("flow", "step"),
    [("bound", 3), ("bound", 4), ("leased", 1), ("leased", 4), ("leased", 5), ("execute", 1)],
)
def test_backend_is_killed(durable: str, flow: str, step: int) -> None:
    """SIGKILL of one backend makes the server end all sessions and recover from its WAL."""
    with psycopg.connect(durable, row_factory=dict_row) as owner:
        owner.execute("truncate public.effect, idemdb.keys")
    connection = connect(durable)
    Client("A", connection, **variables_of(flow)).run(FLOWS[flow][:step])
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_catalog.pg_sleep(20)")
    connection.close()
    until_recovered(durable)
    assert_done_once(durable, flow, committed=was_committed(flow, step))
