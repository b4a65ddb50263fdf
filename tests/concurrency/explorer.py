"""The interleaving explorer: runs sessions of SQL steps in every order that PostgreSQL allows.

A :class:`Program` is data: sessions made of steps. An interleaving is the order in which the sessions
start their steps, written as one letter a step ("AABAB"), and that is also its id: :func:`replay` runs it
again. A step that blocks is found through ``pg_blocking_pids``; its session has no further choice until
another one's step (or the deadlock detector, or a timeout) lets it go on. So only orders that can happen
are run, each of them once.

:func:`explore` walks through all interleavings, or through a seeded sample where there are too many, and
hands each history to the program's checks, which answer with what they found wrong.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from .history import Event, Program, Report, Run, Session, Step, Violation

READ_COMMITTED = "read committed"
REPEATABLE_READ = "repeatable read"
SERIALIZABLE = "serializable"

_PATIENCE = 10.0
"""Seconds after which a step that neither ends nor can be let go is a defect of what is tested."""

_IS_WAITING = """
    select pg_catalog.pg_blocking_pids(pid) && %(pids)s::integer[]
           or wait_event is not distinct from 'PgSleep' as waiting
      from pg_catalog.pg_stat_activity
     where pid = %(pid)s
"""


class Stuck(Exception):
    """A step neither ended nor could be let go on in time."""


class _Actor:
    """A session on its connection."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, object]]) -> None:
        self.connection = connection
        self.pid = connection.info.backend_pid
        self.task: asyncio.Task[Event] | None = None
        self.begin(Session("", ()), {})

    def begin(self, session: Session, variables: Mapping[str, object]) -> None:
        """Take up a session from its first step."""
        self.session = session
        self.variables = dict(variables) | dict(session.variables)
        self.position = 0
        self.waited = False

    def next_step(self) -> Step | None:
        """Skip the steps whose turn does not come in this history, and show the one that does."""
        while self.position < len(self.session.steps):
            step = self.session.steps[self.position]
            failed = self.connection.info.transaction_status is TransactionStatus.INERROR
            if (step.recovers or not failed) and (
                not step.when or self.variables.get("outcome") in step.when
            ):
                return step
            self.position += 1
        return None

    def start(self) -> None:
        """Send the next step."""
        step = self.next_step()
        assert step is not None
        self.position += 1
        self.waited = False
        self.task = asyncio.ensure_future(self._run(step))

    async def _run(self, step: Step) -> Event:
        row: dict[str, object] = {}
        rows: int | None = None
        tag, sqlstate, message = "", None, ""
        try:
            for statement in step.statements:
                cursor = await self.connection.execute(statement, self.variables)
                tag = cursor.statusmessage or ""
                if cursor.description:
                    found = await cursor.fetchall()
                    rows = (rows or 0) + len(found)
                    row.update(found[-1] if found else {})
                    self.variables.update(row)
        except psycopg.Error as error:
            sqlstate, message = error.sqlstate or "connection", str(error).split("\n", 1)[0]
            rows = None
            self.variables["outcome"] = row["outcome"] = sqlstate
        still_open = self.connection.info.transaction_status is not TransactionStatus.IDLE
        return Event(
            self.session.name,
            step,
            dict(self.variables),
            row,
            rows,
            tag,
            sqlstate,
            message,
            self.waited,
            still_open,
        )


class Explorer:
    """Runs interleavings of programs on connections that it keeps open."""

    def __init__(
        self, actors: Sequence[_Actor], owner: _Actor, monitor: psycopg.AsyncConnection[dict[str, object]]
    ) -> None:
        self._actors = actors
        self._owner = owner
        self._monitor = monitor
        self._pids = [actor.pid for actor in (*actors, owner)]
        self._runs = 0
        self._name = f"{random.SystemRandom().getrandbits(64):x}"

    async def run(self, program: Program, choose: Callable[[Sequence[str]], str]) -> Run:
        """Run one interleaving with keys of its own.

        :param choose: picks the session that starts its next step, from the names of those that can.
        """
        self._runs += 1
        variables: dict[str, object] = {
            "scope": f"explorer {self._name}",
            "key": f"{self._name} {self._runs}",
            "other": f"{self._name} {self._runs} other",
        }
        events: list[Event] = []
        if program.before:
            events += await self._alone(program.before, variables)
            variables |= {f"first_{name}": value for name, value in self._owner.variables.items()}
        schedule = await self._together(program, variables, choose, events)
        if program.after:
            events += await self._alone(program.after, variables)
        cursor = await self._monitor.execute(
            "select session, scope, key from public.effect where key = any(%s)",
            [[variables["key"], variables["other"]]],
        )
        return Run(program, schedule, tuple(events), tuple(await cursor.fetchall()))

    async def _alone(self, session: Session, variables: Mapping[str, object]) -> list[Event]:
        actor, events = self._owner, []
        actor.begin(session, variables)
        while actor.next_step():
            actor.start()
            assert actor.task is not None
            events.append(await asyncio.wait_for(actor.task, _PATIENCE))
            actor.task = None
        await self._end(actor)
        return events

    async def _together(
        self,
        program: Program,
        variables: Mapping[str, object],
        choose: Callable[[Sequence[str]], str],
        events: list[Event],
    ) -> str:
        cast: dict[str, _Actor] = {}
        spare = iter(self._actors)
        for session in program.sessions:
            cast[session.name] = self._owner if session.owner else next(spare)
            cast[session.name].begin(session, variables)
        schedule = ""
        while True:
            ready = [name for name, actor in cast.items() if actor.task is None and actor.next_step()]
            if ready:
                name = choose(ready)
                schedule += name
                cast[name].start()
            elif any(actor.task for actor in cast.values()):
                await self._await_any(program, schedule, cast.values())
            else:
                break
            for actor in sorted(
                cast.values(), key=lambda actor: actor.waited
            ):  # who just started comes first
                if actor.task is not None and (event := await self._settle(program, schedule, actor)):
                    events.append(event)
        for actor in cast.values():
            await self._end(actor)
        return schedule

    async def _settle(self, program: Program, schedule: str, actor: _Actor) -> Event | None:
        """Watch a step until it has ended (its event) or is known to wait for another session (None)."""
        assert actor.task is not None
        pause, deadline = 0.001, time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            await asyncio.wait({actor.task}, timeout=pause)
            if actor.task.done():
                event, actor.task = actor.task.result(), None
                return event
            cursor = await self._monitor.execute(_IS_WAITING, {"pid": actor.pid, "pids": self._pids})
            if (row := await cursor.fetchone()) and row["waiting"]:
                actor.waited = True
                return None
            pause = min(pause * 2, 0.02)
        raise Stuck(f"{program.name}, replay {schedule!r}: {actor.session.name} runs without an end")

    async def _await_any(self, program: Program, schedule: str, actors: Iterable[_Actor]) -> None:
        """Let time work (a deadlock's detection, a wait that ends) when nobody can take another step."""
        tasks = [actor.task for actor in actors if actor.task]
        done, _ = await asyncio.wait(tasks, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise Stuck(f"{program.name}, replay {schedule!r}: every session waits")

    async def _end(self, actor: _Actor) -> None:
        if actor.connection.info.transaction_status is not TransactionStatus.IDLE:
            await actor.connection.execute("rollback")


@asynccontextmanager
async def explorer(
    dsn: str, *, sessions: int, isolation: str = READ_COMMITTED, role: str | None = None
) -> AsyncIterator[Explorer]:
    """Open the connections of an :class:`Explorer`, as a superuser.

    :param sessions: how many sessions a program may have that are not ``owner``.
    :param role: what those sessions become (``set role``).
    """
    options = (
        f"-c deadlock_timeout=20ms -c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    )
    async with AsyncExitStack() as stack:

        async def connect(options: str = "") -> psycopg.AsyncConnection[dict[str, object]]:
            connection = await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, row_factory=dict_row, options=options
            )
            return await stack.enter_async_context(connection)

        monitor, owner = await connect(), _Actor(await connect())
        actors = [_Actor(await connect(options)) for _ in range(sessions)]
        for actor in actors if role else []:
            await actor.connection.execute(f'set role "{role}"')
        yield Explorer(actors, owner, monitor)


def explore(
    program: Program,
    dsn: str,
    *,
    isolation: str = READ_COMMITTED,
    role: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    stop_at: int = 3,
) -> Report:
    """Run all interleavings of a program, or a sample, and check each history.

    :param sample: how many interleavings to draw; all of them are walked through if None.
    :param seed: of the sample: the same seed draws the same choices.
    :param stop_at: end the exploration at that many violations.
    """
    return asyncio.run(_explore(program, dsn, isolation, role, sample, seed, stop_at))


def replay(
    program: Program, dsn: str, schedule: str, *, isolation: str = READ_COMMITTED, role: str | None = None
) -> tuple[Run, list[str]]:
    """Run one interleaving by its id, and say what the checks find in it."""

    async def once() -> Run:
        async with explorer(dsn, sessions=len(program.sessions), isolation=isolation, role=role) as runner:
            return await runner.run(program, _follow(schedule))

    run = asyncio.run(once())
    return run, [what for check in program.checks for what in check(run)]


async def _explore(
    program: Program,
    dsn: str,
    isolation: str,
    role: str | None,
    sample: int | None,
    seed: int,
    stop_at: int,
) -> Report:
    violations: list[Violation] = []
    seen: set[str] = set()
    started = time.monotonic()
    async with explorer(dsn, sessions=len(program.sessions), isolation=isolation, role=role) as runner:
        walk = _Walk()
        choosers = _samples(sample, seed) if sample is not None else iter(walk)
        for choose in choosers:
            run = await runner.run(program, choose)
            seen.add(run.schedule)
            violations += [Violation(run, what) for check in program.checks for what in check(run)]
            if len(violations) >= stop_at:
                break
    complete = sample is None and not walk.prefixes
    return Report(program, isolation, len(seen), complete, time.monotonic() - started, tuple(violations))


class _Walk:
    """Walk depth-first over all schedules: each run follows a prefix, and notes the turns not taken."""

    def __init__(self) -> None:
        self.prefixes = [""]

    def __iter__(self) -> Iterator[Callable[[Sequence[str]], str]]:
        while self.prefixes:
            yield self._chooser(self.prefixes.pop())

    def _chooser(self, prefix: str) -> Callable[[Sequence[str]], str]:
        taken = ""
        follow = _follow(prefix)

        def choose(ready: Sequence[str]) -> str:
            nonlocal taken
            choice = follow(ready)
            if len(taken) >= len(prefix):
                self.prefixes += [taken + other for other in ready if other != choice]
            taken += choice
            return choice

        return choose


def _follow(schedule: str) -> Callable[[Sequence[str]], str]:
    """Choose as the schedule says; after its end, or where it cannot be followed, the first that is ready."""
    rest = iter(schedule)

    def choose(ready: Sequence[str]) -> str:
        wanted = next(rest, ready[0])
        return wanted if wanted in ready else ready[0]

    return choose


def _samples(size: int, seed: int) -> Iterator[Callable[[Sequence[str]], str]]:
    chance = random.Random(seed)
    for _ in range(size):
        yield chance.choice
