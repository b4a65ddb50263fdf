"""Programs, and what happened when they ran: plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One choice of the schedule: statements with no other session's step between them.

    :param name: what histories call it.
    :param statements: SQL with ``%(name)s`` placeholders; a placeholder is a variable of the session. The
        columns of every row that comes back become variables.
    :param when: run only while the session's variable ``outcome`` is one of these; always, if empty.
    :param recovers: run also in a failed transaction, and only in a transaction (commit, rollback).
    """

    name: str
    statements: tuple[str, ...]
    when: frozenset[str] = frozenset()
    recovers: bool = False


@dataclass(frozen=True)
class Session:
    """A connection's steps, with the variables it starts with.

    :param owner: keep the rights of the connecting user; otherwise the explorer's role is taken.
    """

    name: str
    steps: tuple[Step, ...]
    variables: Mapping[str, object] = field(default_factory=dict)
    owner: bool = False


@dataclass(frozen=True)
class Program:
    """Sessions that run against each other, what comes before and after, and what must be true of it all.

    :param before: runs alone first; its variables are known to everybody as ``first_<name>``.
    :param after: runs alone at the end, as a client would that comes back later.
    """

    name: str
    sessions: tuple[Session, ...]
    checks: tuple[Check, ...]
    before: Session | None = None
    after: Session | None = None
    allowed_errors: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Event:
    """A step that ended.

    :param variables: the session's variables when it ended.
    :param row: the last row that came back, with the columns of all of them.
    :param rows: how many rows the statements returned, or None where there were no columns.
    :param sqlstate: of the error it ended with.
    :param open: the transaction goes on after it.
    """

    session: str
    step: Step
    variables: Mapping[str, object]
    row: Mapping[str, object]
    rows: int | None
    tag: str
    sqlstate: str | None
    message: str
    waited: bool
    open: bool

    def __str__(self) -> str:
        ended = f"{self.sqlstate} {self.message}" if self.sqlstate else self.row.get("outcome", self.tag)
        return f"{self.session} {self.step.name}{' (waited)' if self.waited else ''}: {ended}"


@dataclass(frozen=True)
class Run:
    """What happened in one interleaving.

    :param schedule: its id.
    :param effects: rows of the table of effects that were committed: session, scope, key.
    """

    program: Program
    schedule: str
    events: tuple[Event, ...]
    effects: tuple[Mapping[str, object], ...]


Check = Callable[[Run], Iterable[str]]


@dataclass(frozen=True)
class Violation:
    """Something that a check found, with all it takes to see it again."""

    run: Run
    what: str

    def __str__(self) -> str:
        lines = "\n  ".join(map(str, self.run.events))
        return f"{self.run.program.name}, replay {self.run.schedule!r}: {self.what}\n  {lines}"


@dataclass(frozen=True)
class Report:
    """How an exploration went."""

    program: Program
    isolation: str
    interleavings: int
    complete: bool
    seconds: float
    violations: tuple[Violation, ...]

    @property
    def per_minute(self) -> int:
        """Interleavings that this machine runs in a minute."""
        return round(self.interleavings / max(self.seconds, 1e-6) * 60)

    def __str__(self) -> str:
        amount = "all" if self.complete else "a sample of"
        return (
            f"{self.program.name}, {self.isolation}: {amount} {self.interleavings} interleavings, "
            f"{self.per_minute} a minute, {len(self.violations)} violations"
        )
