"""A client or its backend dies at each step of inbox, outbox and leased steps; what happens afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb.demo.proxy import COMMIT, Cut, FaultProxy

from .client import EVENT_FLOWS, EVENT_VERBS, VERBS, Client, connect, variables_of
from .test_crashes import start_client
from .waits import until_gone

EVERYWHERE = [(flow, step) for flow, steps in EVENT_FLOWS.items() for step in range(len(steps) + 1)]
at_each_step = pytest.mark.parametrize(("flow", "step"), EVERYWHERE)

_EMPTY = """
    truncate public.effect, idemdb.keys, idemdb.inbox, idemdb.event_failures, idemdb.outbox_keys,
        idemdb.outbox_messages
"""


@pytest.fixture
def scene(stage: str) -> str:
    """Return the DSN of a database where nothing happened yet but that there is a message to relay."""
    with connect(stage) as connection:
        connection.execute(_EMPTY)
    return stage


def prepare(dsn: str, flow: str) -> None:
    """Add the message that the relay is to deliver."""
    if flow == "relay":
        with connect(dsn) as connection:
            Client("P", connection).run(EVENT_VERBS.add("m"))


def come_back(dsn: str, flow: str) -> object:
    """Run the whole flow again, as Z, after every lease has run out; return its first outcome."""
    with connect(dsn) as connection:
        Client("X", connection).run([VERBS.age(), EVENT_VERBS.run_out()])
        again = Client("Z", connection, **variables_of(flow))
        again.run(EVENT_FLOWS[flow][:1])
        outcome = again.variables["outcome"]
        again.run(EVENT_FLOWS[flow][1:])
    return outcome


def effects(dsn: str) -> list[str]:
    """List the effects: who had them on what."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select session, scope from public.effect order by scope, session")
        return [f"{session}{scope.removeprefix('s')}" for session, scope in rows]


def messages(dsn: str) -> int:
    """Count the messages that wait."""
    with psycopg.connect(dsn) as connection:
        return connection.execute("select from idemdb.outbox_messages").rowcount


def assert_handled(dsn: str, flow: str, step: int) -> None:
    """Come back after the first steps, twice, and look at what happened in all.

    :param step: how many steps of the first client count.
    """
    over = step == len(EVENT_FLOWS[flow])
    who = "A" if over else "Z"
    outcomes = [come_back(dsn, flow) for _ in range(2)]
    match flow:
        case "inbox":
            assert outcomes == ["duplicate" if over else "first_seen", "duplicate"]
            assert effects(dsn) == [who]
        case "batch":
            repeated = "duplicate duplicate"
            assert outcomes == [repeated if over else "first_seen first_seen", repeated]
            assert effects(dsn) == [f"{who}/a", f"{who}/b"]
        case "add":
            assert outcomes == ["existing" if over else "added", "existing"]
            assert (effects(dsn), messages(dsn)) == ([who], 1)
        case "relay":
            # Twice only where the first client died between delivery and done; both carry the dedup key.
            assert outcomes == ["none" if over else "taken", "none"]
            assert effects(dsn) == {2: ["A/m", "Z/m"], 3: ["A/m"]}.get(step, ["Z/m"])
            assert messages(dsn) == 0
        case "steps, retry":
            # Called twice only where the answer of the first call was not remembered.
            assert outcomes == ["resumed" if step == 3 else "replayed" if over else "started", "replayed"]
            assert effects(dsn) == {2: ["A", "Z"], 3: ["A"], 4: ["A"]}.get(step, ["Z"])
        case "steps, hold":
            # Never called twice; a person decides about what was interrupted.
            first = "started" if step == 0 else "replayed" if over else "unresolved"
            assert outcomes == [first, "replayed" if step in {0, 4} else "unresolved"]
            assert effects(dsn) == (["Z"] if step == 0 else [] if step == 1 else ["A"])


@at_each_step
def test_client_is_killed(scene: str, flow: str, step: int) -> None:
    prepare(scene, flow)
    with start_client(scene, flow, step) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"here\n"
        client.send_signal(signal.SIGKILL)
    assert_handled(scene, flow, step)


@at_each_step
def test_backend_is_terminated(scene: str, flow: str, step: int) -> None:
    prepare(scene, flow)
    with connect(scene) as owner, connect(scene) as connection:
        client = Client("A", connection, **variables_of(flow))
        client.run(EVENT_FLOWS[flow][:step])
        owner.execute("select pg_catalog.pg_terminate_backend(%s)", [connection.info.backend_pid])
        until_gone(owner, connection.info.backend_pid)
        if step < len(EVENT_FLOWS[flow]):
            with pytest.raises(psycopg.OperationalError):
                client.run(EVENT_FLOWS[flow][step:])
    assert_handled(scene, flow, step)


LAST = {"relay": "outbox_done", "steps, retry": "complete", "steps, hold": "complete"}


@pytest.mark.parametrize("when", list(Cut))
@pytest.mark.parametrize("flow", list(EVENT_FLOWS))
def test_connection_is_cut_at_its_end(scene: str, flow: str, when: Cut) -> None:
    """The last statement gets lost, or the answer to it: a COMMIT, or a call that commits by itself."""
    prepare(scene, flow)
    target = conninfo_to_dict(scene)
    last = re.compile(f".*{LAST[flow]}.*", re.DOTALL) if flow in LAST else COMMIT
    with FaultProxy(str(target["host"]), int(str(target["port"]))) as proxy:
        proxy.cut_next(when, last)
        connection = connect(make_conninfo(scene, host=proxy.host, port=proxy.port))
        with pytest.raises(psycopg.OperationalError):
            Client("A", connection, **variables_of(flow)).run(EVENT_FLOWS[flow])
        assert proxy.cuts == 1
    assert_handled(scene, flow, len(EVENT_FLOWS[flow]) - (when is Cut.BEFORE))


def start_stepper(dsn: str, abandoned: str, hangs: str) -> subprocess.Popen[bytes]:
    """Start a process that runs two foreign calls and hangs in one of them."""
    command = [sys.executable, "-m", "tests.concurrency.stepper", dsn, abandoned, hangs]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def calls(dsn: str) -> list[tuple[str, str]]:
    """List the calls that the service got, with the idempotency key of each."""
    with psycopg.connect(dsn) as connection:
        return connection.execute("select scope, key from public.effect order by scope").fetchall()


@pytest.fixture
def kill_in(scene: str) -> Callable[[str, str], None]:
    """Return a function that kills a run in one of its calls, which the service got, and ends its lease."""

    def kill(abandoned: str, hangs: str) -> None:
        with start_stepper(scene, abandoned, hangs) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
            process.send_signal(signal.SIGKILL)
        with connect(scene) as owner:
            Client("X", owner).run([VERBS.age()])

    return kill


def test_an_interrupted_step_is_repeated_with_the_same_key(
    scene: str, kill_in: Callable[[str, str], None]
) -> None:
    """And a finished one is not repeated: its answer is remembered."""
    kill_in("retry", "charge")
    with start_stepper(scene, "retry", "nothing") as process:
        answer, _ = process.communicate(timeout=30)
    assert answer == b"['reserve done', 'charge done']\n"
    made = calls(scene)
    assert [name for name, _ in made] == ["charge", "charge", "reserve"]
    assert made[0] == made[1]
    assert made[1][1] != made[2][1]


def test_an_interrupted_step_is_not_repeated_under_hold(
    scene: str, kill_in: Callable[[str, str], None]
) -> None:
    kill_in("hold", "charge")
    for _ in range(2):
        with start_stepper(scene, "hold", "nothing") as process:
            _, error = process.communicate(timeout=30)
        assert b"Unresolved" in error
    assert [name for name, _ in calls(scene)] == ["charge", "reserve"]
