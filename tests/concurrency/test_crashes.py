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

from .client import FLOWS, VERBS, Client, Connection, connect, variables_of
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
        for _ in range(100):
            again = Client("Z", connection, **variables_of(flow) | {"wait": "200 ms"})
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


def until_one_waits_for(dsn: str, holder: Connection) -> int:
    """Wait until some session waits for this one, and return its process id."""
    query = """
        select pid from pg_catalog.pg_stat_activity
         where %s = any(pg_catalog.pg_blocking_pids(pid)) and datname = pg_catalog.current_database()
    """
    found: list[int] = []
    with connect(dsn) as monitor:

        def one_waits() -> bool:
            found.extend(row["pid"] for row in monitor.execute(query, [holder.info.backend_pid]))
            return bool(found)

        until(one_waits, "somebody waits")
    return found[0]


def start_client(dsn: str, flow: str, steps: int) -> subprocess.Popen[bytes]:
    """Start a process that runs the first steps of a flow."""
    command = [sys.executable, "-m", "tests.concurrency.client", dsn, flow, str(steps)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@at_each_step
def test_client_is_killed(clean_stage: str, flow: str, step: int) -> None:
    with start_client(clean_stage, flow, step) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"here\n"
        client.send_signal(signal.SIGKILL)
    assert_done_once(clean_stage, flow, committed=was_committed(flow, step))


@at_each_step
def test_backend_is_terminated(clean_stage: str, flow: str, step: int) -> None:
    with connect(clean_stage) as owner, connect(clean_stage) as connection:
        client = Client("A", connection, **variables_of(flow))
        client.run(FLOWS[flow][:step])
        owner.execute("select pg_catalog.pg_terminate_backend(%s)", [connection.info.backend_pid])
        until_gone(owner, connection.info.backend_pid)
        if not was_committed(flow, step):
            with pytest.raises(psycopg.OperationalError):
                client.run(FLOWS[flow][step:])
    assert_done_once(clean_stage, flow, committed=was_committed(flow, step))


def test_client_is_killed_while_it_waits(clean_stage: str) -> None:
    with connect(clean_stage) as holder:
        held = Client("A", holder, lease=None)
        held.run(FLOWS["bound"][:1])
        with start_client(clean_stage, "bound", 4) as waiter:
            until_one_waits_for(clean_stage, holder)
            waiter.send_signal(signal.SIGKILL)
        held.run(FLOWS["bound"][1:])
    assert_done_once(clean_stage, "bound", committed=True)


def test_client_is_killed_while_execute_runs(clean_stage: str) -> None:
    """The server finishes what it began: the answer that nobody heard is replayed."""
    with connect(clean_stage) as gate, connect(clean_stage) as monitor:
        gate.execute("begin")
        gate.execute("lock table public.effect in share mode")  # the function's insert waits for it
        with start_client(clean_stage, "execute, own transaction", 1) as client:
            running = until_one_waits_for(clean_stage, gate)
            client.send_signal(signal.SIGKILL)
        gate.execute("commit")
        until_gone(monitor, running)
    assert_done_once(clean_stage, "execute, own transaction", committed=True)


def test_backend_is_terminated_while_it_waits(clean_stage: str) -> None:
    with (
        connect(clean_stage) as holder,
        connect(clean_stage) as connection,
        connect(clean_stage) as owner,
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
    assert_done_once(clean_stage, "bound", committed=True)


@pytest.mark.parametrize("when", list(Cut))
@pytest.mark.parametrize("flow", list(FLOWS))
def test_connection_is_cut_at_commit(clean_stage: str, flow: str, when: Cut) -> None:
    target = conninfo_to_dict(clean_stage)
    statement = (
        COMMIT if COMMIT.fullmatch(FLOWS[flow][-1].statements[-1]) else re.compile(".*execute.*", re.DOTALL)
    )
    with FaultProxy(str(target["host"]), int(str(target["port"]))) as proxy:
        proxy.cut_next(when, statement)
        connection = connect(make_conninfo(clean_stage, host=proxy.host, port=proxy.port))
        with pytest.raises(psycopg.OperationalError):
            Client("A", connection, **variables_of(flow)).run(FLOWS[flow])
        assert proxy.cuts == 1
    assert_done_once(clean_stage, flow, committed=when is Cut.AFTER)


@pytest.fixture(scope="module")
def durable(server: Server) -> Iterator[str]:
    """Return the DSN of a server of our own that keeps what it acknowledged, with idemdb in it."""
    with EmbeddedPostgres(bindir=server.bindir, durable=True) as own:
        where = {"host": own.host, "port": str(own.port), "user": own.user, "password": own.password}
        install(autocommit=True, dbname="postgres", **where)
        with psycopg.connect(own.dsn) as connection:
            connection.execute(SETUP)
        yield own.dsn


def checkpointer(dsn: str) -> int:
    """Return the process that a restart of the server replaces."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select pid from pg_catalog.pg_stat_activity where backend_type = 'checkpointer'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def until_recovered(dsn: str, before: int) -> None:
    """Wait until the server has restarted after the death of one of its processes.

    It may let somebody in before it has noticed the death; hence the checkpointer of before.
    """

    def accepts() -> bool:
        try:
            return checkpointer(dsn) != before
        except (psycopg.OperationalError, AssertionError):
            time.sleep(0.05)
            return False

    until(accepts, "the server accepts connections")


@pytest.mark.parametrize(
    ("flow", "step"),
    [("bound", 3), ("bound", 4), ("leased", 1), ("leased", 4), ("leased", 5), ("execute", 1)],
)
def test_backend_is_killed(durable: str, flow: str, step: int) -> None:
    """SIGKILL of one backend makes the server end all sessions and recover from its WAL."""
    with psycopg.connect(durable, row_factory=dict_row) as owner:
        owner.execute("truncate public.effect, idemdb.keys")
    before = checkpointer(durable)
    connection = connect(durable)
    Client("A", connection, **variables_of(flow)).run(FLOWS[flow][:step])
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_catalog.pg_sleep(20)")
    connection.close()
    until_recovered(durable, before)
    assert_done_once(durable, flow, committed=was_committed(flow, step))
