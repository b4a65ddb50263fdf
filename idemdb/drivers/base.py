"""What all drivers share: calls, flows, and the five things that a driver knows.

``fetch`` (one statement), ``idle`` (no transaction is open), ``autocommits`` (a statement would commit by
itself), and ``enter``, ``keep``, ``undo``: a transaction where none is open, else a savepoint.
"""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, NamedTuple, NoReturn, TypeVar

from idemdb.errors import InvalidArgument, translate
from idemdb.results import OutcomeEvent
from idemdb.statement import Call, Rows, Statement

T = TypeVar("T")

Observer = Callable[[OutcomeEvent], object]

_log = logging.getLogger("idemdb")
UNPROTECTED = "the connection is in autocommit mode, so this would count as done at once"
_PROTECT = "open a transaction around this call and the work; a claim can have a lease instead"


class Do(NamedTuple):
    """A step of a flow that is no statement: a method of the driver, by name."""

    method: str
    point: Any = None


class Invoke(NamedTuple):
    """A step of a flow that is no statement: a function, with await also a coroutine function."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()


Step = Call[Any] | Do | Invoke
Flow = Generator[Step, Any, T]

IDLE = Do("idle")
AUTOCOMMITS = Do("autocommits")
ENTER = Do("enter")


def keep(point: Any) -> Do:
    """Commit what was entered, or release its savepoint."""
    return Do("keep", point)


def undo(point: Any) -> Do:
    """Roll back what was entered."""
    return Do("undo", point)


class _Base:
    """What all drivers share."""

    def __init__(self, connection: Any, observer: Observer | None = None) -> None:
        """Use the caller's connection.

        :param connection: stays the caller's; it is never closed.
        :param observer: told of each outcome.
        """
        self.connection = connection
        self._observer = observer

    def _answered(self, call: Call[Any], answer: Any, started: float) -> None:
        """Tell the observer of an outcome. Its failures are logged: metrics must not break a payment."""
        outcome = answer if isinstance(answer, str) else getattr(answer, "outcome", None)
        if self._observer is None or outcome is None:
            return
        attempt, seconds = getattr(answer, "attempt", None), perf_counter() - started
        try:
            self._observer(OutcomeEvent(call.sql.name, call.scope, outcome, attempt, seconds))
        except Exception:  # noqa: BLE001 - whatever it is
            _log.exception("on_outcome failed")

    def _failed(self, call: Call[Any], error: Exception, started: float) -> NoReturn:
        """Raise the error of idemdb that a driver's error stands for, else the driver's."""
        known = translate(error, call.scope, call.key)
        if known is None:
            raise error
        self._answered(call, known, started)
        raise known from error


class Driver(_Base, ABC):
    """A synchronous driver."""

    @abstractmethod
    def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """Run one statement and return its rows."""

    @abstractmethod
    def place(self) -> tuple[Any, Any, Any]:
        """Return SQLAlchemy's dialect (or a plain driver's name), what tells databases apart, the Session."""

    @abstractmethod
    def idle(self) -> bool:
        """Say whether no transaction is open."""

    @abstractmethod
    def autocommits(self) -> bool:
        """Say whether the next statement would commit by itself."""

    @abstractmethod
    def enter(self) -> Any:
        """Begin a transaction where none is open, else set a savepoint; return the point."""

    @abstractmethod
    def keep(self, point: Any) -> None:
        """Commit, or release the savepoint. A statement has just succeeded, so it cannot be a failed one."""

    @abstractmethod
    def undo(self, point: Any) -> None:
        """Roll back what was done since the point, and leave it."""

    def call(self, call: Call[T]) -> T:
        """Send one call and return its decoded answer."""
        if call.bound and self.autocommits():
            raise InvalidArgument(UNPROTECTED, scope=call.scope, key=call.key, hint=_PROTECT)
        started = perf_counter()
        try:
            rows = self.fetch(call.sql, call.params)
        except Exception as error:  # noqa: BLE001 - whichever the driver's is
            self._failed(call, error, started)
        result = call.decode(rows)
        self._answered(call, result, started)
        return result

    def drive(self, flow: Flow[T]) -> T:
        """Run a flow: do each of its steps and send it the answer."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _perform(self, step: Step) -> Any:
        """Do one step."""
        if isinstance(step, Call):
            return self.call(step)
        if isinstance(step, Invoke):
            return step.function(*step.args)
        method = getattr(self, step.method)
        return method() if step.point is None else method(step.point)


class AsyncDriver(_Base, ABC):
    """An asynchronous driver: Driver with ``await``."""

    @abstractmethod
    async def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """Run one statement and return its rows."""

    @abstractmethod
    def place(self) -> tuple[Any, Any, Any]:
        """Return SQLAlchemy's dialect (or a plain driver's name), what tells databases apart, the Session."""

    @abstractmethod
    async def idle(self) -> bool:
        """Say whether no transaction is open."""

    @abstractmethod
    async def autocommits(self) -> bool:
        """Say whether the next statement would commit by itself."""

    @abstractmethod
    async def enter(self) -> Any:
        """Begin a transaction where none is open, else set a savepoint; return the point."""

    @abstractmethod
    async def keep(self, point: Any) -> None:
        """Commit, or release the savepoint. A statement has just succeeded, so it cannot be a failed one."""

    @abstractmethod
    async def undo(self, point: Any) -> None:
        """Roll back what was done since the point, and leave it."""

    async def call(self, call: Call[T]) -> T:
        """Send one call and return its decoded answer."""
        if call.bound and await self.autocommits():
            raise InvalidArgument(UNPROTECTED, scope=call.scope, key=call.key, hint=_PROTECT)
        started = perf_counter()
        try:
            rows = await self.fetch(call.sql, call.params)
        except Exception as error:  # noqa: BLE001 - whichever the driver's is
            self._failed(call, error, started)
        result = call.decode(rows)
        self._answered(call, result, started)
        return result

    async def drive(self, flow: Flow[T]) -> T:
        """Run a flow: do each of its steps and send it the answer."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides, also when it is cancelled
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _perform(self, step: Step) -> Any:
        """Do one step."""
        if isinstance(step, Call):
            return await self.call(step)
        if isinstance(step, Invoke):
            answer = step.function(*step.args)
            return await answer if inspect.isawaitable(answer) else answer
        method = getattr(self, step.method)
        return await (method() if step.point is None else method(step.point))
