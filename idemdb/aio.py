"""``AsyncIdem``: ``Idem`` over an asynchronous connection, method by method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, TypeVar, cast

from idemdb import flows
from idemdb.aio_events import AsyncEventMethods
from idemdb.aio_rows import AsyncRowMethods
from idemdb.calls import keys
from idemdb.drivers import adapt_async
from idemdb.drivers.base import AsyncDriver, Observer
from idemdb.errors import Answer
from idemdb.fingerprint import Fingerprint
from idemdb.renewal import AsyncRenewal
from idemdb.results import Claim, KeyRecord, Outcome, SweepResult
from idemdb.wire import Seconds, Span

T = TypeVar("T")

Abandoned = Literal["retry", "hold"]
Verdict = Answer | Literal["retry"] | None


class AsyncOp(flows.Work):
    """What a handler of ``Idem.run`` is given: its claim, and how to call the outside world."""

    def __init__(
        self,
        driver: AsyncDriver,
        connect: Any,
        scope: str,
        key: str,
        lease: Seconds | None,
        abandoned: str | None,
    ) -> None:
        """Made by ``Idem.run``."""
        super().__init__(driver.connection, scope, key, lease, hold=abandoned == "hold")
        self._driver = driver
        self._connect = connect
        self._renewal: AsyncRenewal | None = None

    @property
    def lost(self) -> bool:
        """Say whether the claim is known to have passed to another holder: then stop."""
        return self._lost or (self._renewal is not None and self._renewal.lost)

    async def step(self, name: str, function: Callable[[], Awaitable[T]]) -> T:
        """Call the outside world once: an answer that is remembered is returned, without calling again.

        :param name: of the step, unique in the run.
        :param function: makes the call; its answer must be JSON. Give the other side ``op.key_for(name)``.

        What the run has written so far commits with the answer. A crash between call and commit calls again.

        :raises ClaimLost: when another holder has taken over.
        :raises InvalidArgument: in a run without a lease.
        """
        return cast("T", await self._driver.drive(flows.step(self, name, function)))

    def start(self) -> None:
        """See Work."""
        if self._connect is not None:
            self._renewal = AsyncRenewal(self._connect, *flows.renewal(self))
            self._renewal.start()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """End renewing the lease."""
        if self._renewal is not None:
            await self._renewal.stop()


class AsyncIdem(AsyncEventMethods, AsyncRowMethods):
    """idemdb over the caller's connection, in the caller's transaction."""

    def __init__(self, connection: Any, *, connect: Any = None, on_outcome: Observer | None = None) -> None:
        """Use a connection; it stays the caller's and is never closed.

        :param connection: psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession,
            asyncpg's Connection.
        :param connect: opens the connections that renew leases of ``run(lease=…)``: a function, which may
            return an awaitable, an SQLAlchemy engine, a pool of psycopg or asyncpg. Without it only steps
            and checkpoints renew.
        :param on_outcome: called with an OutcomeEvent after each answer with an outcome; what it raises is
            logged.
        """
        self._driver = adapt_async(connection, on_outcome)
        self._connect = connect

    async def run(
        self,
        scope: str,
        key: str,
        handler: Callable[[AsyncOp], Awaitable[T | Answer]],
        *,
        request: Any = None,
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        abandoned: Abandoned | None = None,
        reconcile: Callable[[KeyRecord], Awaitable[Verdict] | Verdict] | None = None,
    ) -> Outcome[T]:
        """Do what ``Idem.run`` does."""
        ask = keys.claim(scope, key, request, lease, wait, keys.options(replay_for, keep_for, abandoned))
        async with AsyncOp(self._driver, self._connect, scope, key, lease, abandoned) as op:
            return await self._driver.drive(flows.run(op, ask, handler, reconcile))

    async def claim(
        self,
        scope: str,
        key: str,
        *,
        request: Any = None,
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        abandoned: Abandoned | None = None,
        raise_: bool = False,
    ) -> Claim:
        """Do what ``Idem.claim`` does."""
        settings = keys.options(replay_for, keep_for, abandoned, raise_)
        return await self._driver.call(keys.claim(scope, key, request, lease, wait, settings))

    async def complete(
        self,
        scope: str,
        key: str,
        claim_token: int,
        *,
        status: int | None = None,
        headers: Any = None,
        body: bytes | None = None,
        result: Any = None,
        reference: str | None = None,
    ) -> datetime:
        """Do what ``Idem.complete`` does."""
        return await self._driver.call(
            keys.complete(scope, key, claim_token, status, headers, body, result, reference)
        )

    async def checkpoint(
        self,
        scope: str,
        key: str,
        claim_token: int,
        recovery_point: str,
        *,
        data: Any = None,
        lease: Seconds | None = None,
    ) -> datetime:
        """Do what ``Idem.checkpoint`` does."""
        return await self._driver.call(keys.checkpoint(scope, key, claim_token, recovery_point, data, lease))

    async def renew(self, scope: str, key: str, claim_token: int, lease: Seconds) -> datetime:
        """Do what ``Idem.renew`` does."""
        return await self._driver.call(keys.renew(scope, key, claim_token, lease))

    async def release(self, scope: str, key: str, claim_token: int, error: str | None = None) -> datetime:
        """Do what ``Idem.release`` does."""
        return await self._driver.call(keys.release(scope, key, claim_token, error))

    async def lookup(self, scope: str, key: str) -> KeyRecord:
        """Do what ``Idem.lookup`` does."""
        return await self._driver.call(keys.lookup(scope, key))

    async def execute(
        self,
        scope: str,
        key: str,
        function: str,
        args: Any,
        *,
        wait: Seconds | None = None,
        exclude: Sequence[str] = (),
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        raise_: bool = False,
    ) -> Claim:
        """Do what ``Idem.execute`` does."""
        settings = keys.options(replay_for, keep_for, None, raise_, tuple(exclude))
        return await self._driver.call(keys.execute(scope, key, function, args, wait, settings))

    async def fingerprint(self, request: Any, exclude: Sequence[str] = ()) -> Fingerprint:
        """Do what ``Idem.fingerprint`` does."""
        return await self._driver.call(keys.fingerprint(request, exclude))

    async def resolve(
        self, scope: str, key: str, action: str, note: str, answer: Answer | None = None
    ) -> str:
        """Do what ``Idem.resolve`` does."""
        return await self._driver.call(keys.resolve(scope, key, action, note, answer))

    async def configure(self, kind: str, name: str, settings: Mapping[str, Any]) -> Any:
        """Do what ``Idem.configure`` does."""
        return await self._driver.call(keys.configure(kind, name, settings))

    async def forget(self, scope: str, key: str | None = None) -> int:
        """Do what ``Idem.forget`` does."""
        return await self._driver.call(keys.forget(scope, key))

    async def sweep(self, limit: int = 10000) -> list[SweepResult]:
        """Do what ``Idem.sweep`` does."""
        return await self._driver.call(keys.sweep(limit))

    async def version(self) -> int:
        """Do what ``Idem.version`` does."""
        return await self._driver.call(keys.version())
