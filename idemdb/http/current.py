"""What a handler can learn of its request, and the connection or Session that holds its claim."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import Any

from idemdb.aio import AsyncOp
from idemdb.drivers.base import Observer
from idemdb.http.connections import AsyncLent, Lent, lend, lend_async
from idemdb.results import Claim
from idemdb.sync import Op

# Where adapters put it: in the state of an ASGI scope, and in a WSGI environ.
NAME = "idemdb"
NOT_SEEN = "this request has not come through idemdb's middleware, or has matched no route"
_LATE = "the answer is on its way: what comes after it needs a connection of its own"


class _Current:
    """What both kinds share."""

    def __init__(self, source: Any, observer: Observer | None, op: Any, lent: Any) -> None:
        """Made by the middleware."""
        self._source = source
        self._observer = observer
        self._op = op
        self._lent = lent
        self._point: Any = None
        self._answered = False
        # To be set: what outlives the answer, such as the number of an order; by default the header Location.
        self.reference: str | None = None

    @property
    def claim(self) -> Claim | None:
        """Return the claim of this request; None without a key."""
        return None if self._op is None else self._op.claim

    @property
    def opened(self) -> bool:
        """Say whether there is a connection."""
        return self._lent is not None

    def answered(self) -> None:
        """Refuse connections from here on."""
        self._answered = True


class Current(_Current):
    """What a handler can learn of its request: synchronous."""

    _op: Op | None
    _lent: Lent | None

    def __init__(
        self, source: Any, observer: Observer | None, op: Op | None = None, lent: Lent | None = None
    ) -> None:
        """Made by the middleware."""
        super().__init__(source, observer, op, lent)
        self.stack = ExitStack()

    @property
    def operation(self) -> Op | None:
        """Return the run that holds the claim: steps, and keys for other services. None without a key."""
        return self._op

    def connection(self) -> Any:
        """Return the connection or Session whose transaction holds the claim.

        A request without a key gets one, too: its transaction commits before the answer is sent, when that
        is below 400.
        """
        if self._answered:
            raise RuntimeError(_LATE)
        if self._lent is None:
            lent = self.stack.enter_context(lend(self._source, self._observer, joined=True))
            self._point = lent.driver.enter()
            self._lent = lent
        return self._lent.handle

    def finish(self, *, keep: bool) -> None:
        """End the transaction of a request without a key, if it has one."""
        self.answered()
        if self._lent is None:
            return
        if keep:
            self._lent.settle()
            self._lent.driver.keep(self._point)
        else:
            self._lent.drop()
            self._lent.driver.undo(self._point)


class AsyncCurrent(_Current):
    """What a handler can learn of its request: asynchronous."""

    _op: AsyncOp | None
    _lent: AsyncLent | None

    def __init__(
        self, source: Any, observer: Observer | None, op: AsyncOp | None = None, lent: AsyncLent | None = None
    ) -> None:
        """Made by the middleware."""
        super().__init__(source, observer, op, lent)
        self.stack = AsyncExitStack()

    @property
    def operation(self) -> AsyncOp | None:
        """Return the run that holds the claim: steps, and keys for other services. None without a key."""
        return self._op

    async def connection(self) -> Any:
        """Do what ``Current.connection`` does."""
        if self._answered:
            raise RuntimeError(_LATE)
        if self._lent is None:
            lent = await self.stack.enter_async_context(lend_async(self._source, self._observer, joined=True))
            self._point = await lent.driver.enter()
            self._lent = lent
        return self._lent.handle

    async def finish(self, *, keep: bool) -> None:
        """Do what ``Current.finish`` does."""
        self.answered()
        if self._lent is None:
            return
        if keep:
            await self._lent.settle()
            await self._lent.driver.keep(self._point)
        else:
            await self._lent.drop()
            await self._lent.driver.undo(self._point)
