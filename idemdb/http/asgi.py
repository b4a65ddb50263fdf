"""The Idempotency-Key header for ASGI applications."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Unpack
from urllib.parse import unquote_to_bytes

from idemdb import flows
from idemdb.aio import AsyncOp
from idemdb.http.answers import NotStored, Reply, conclude
from idemdb.http.asgi_run import App, Message, Receive, Run, Scope, Send, send_reply
from idemdb.http.connections import AsyncLent, ThreadedLent, lend_async, renewing
from idemdb.http.current import NAME, NOT_SEEN, AsyncCurrent
from idemdb.http.exchange import Exchange, Keyed, Pause, Progress, exchange
from idemdb.http.policy import Matched
from idemdb.http.problems import problem
from idemdb.http.rules import NO_SCOPE, Admission, Rules, Settings
from idemdb.renewal import Renewal
from idemdb.results import Outcome

_log = logging.getLogger("idemdb")

# For how long a shutdown waits for requests that nobody waits for.
_DRAIN_SECONDS = 10.0

Route = Callable[[Scope], Matched | str | None]


class IdempotencyMiddleware:
    """Make an ASGI application's POST, PUT, PATCH and DELETE routes follow the Idempotency-Key header."""

    def __init__(
        self, app: App, source: Any, *, route: Route | None = None, **settings: Unpack[Settings]
    ) -> None:
        """Wrap an application.

        :param app: the application.
        :param source: lends connections; see Rules, which has the other settings, too.
        :param route: says which route a request matches: its template, or a Matched, or None for none, which
            passes through. Without it the path itself is taken.
        """
        self.app = app
        self.rules = Rules(source, **settings)
        self._route = route
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        route = self._find(scope) if scope["type"] == "http" else None
        if route is None:
            if scope["type"] == "lifespan":
                receive = self._draining(receive)
            await self.app(scope, receive, send)
            return
        request = _Request(self, scope, receive, send, route)
        # In a task of its own: a server that gives a request up, or a client that has gone away, does not
        # interrupt what is being done.
        task = asyncio.create_task(request.serve(), name="idemdb-request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                task.add_done_callback(_log_failure)
            raise

    def find(self, scope: Scope) -> Matched | str | None:
        """Return the route that a request matches, None for none."""
        return scope["path"] if self._route is None else self._route(scope)

    def _find(self, scope: Scope) -> Matched | None:
        """Return the route that a request matches, with its policy."""
        found = self.find(scope)
        return Matched(found) if isinstance(found, str) else found

    def _draining(self, receive: Receive) -> Receive:
        """Return a receive that holds back the shutdown until requests that nobody waits for have ended."""

        async def drained() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._tasks:
                await asyncio.wait(set(self._tasks), timeout=_DRAIN_SECONDS)
            return message

        return drained


def current(scope: Scope) -> AsyncCurrent:
    """Return what the middleware knows of a request.

    :param scope: the request's, as the application got it.
    :raises LookupError: where no middleware has seen it.
    """
    found = scope.get("state", {}).get(NAME)
    if isinstance(found, AsyncCurrent):
        return found
    raise LookupError(NOT_SEEN)


async def connection(scope: Scope) -> Any:
    """Return the connection or Session whose transaction holds the request's claim."""
    return await current(scope).connection()


def operation(scope: Scope) -> AsyncOp | None:
    """Return the run that holds the claim: for steps, and keys for other services. None without a key."""
    return current(scope).operation


class ThreadedOp(AsyncOp):
    """An AsyncOp over a synchronous connection: its lease is renewed by a thread."""

    _thread: Renewal | None = None

    @property
    def lost(self) -> bool:
        """See AsyncOp."""
        return self._lost or (self._thread is not None and self._thread.lost)

    def start(self) -> None:
        """See Work."""
        self._thread = Renewal(self._connect, *flows.renewal(self))
        self._thread.start()

    async def __aexit__(self, *error: object) -> None:
        """See AsyncOp."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.stop)


class _Request:
    """One request on its way through the middleware."""

    def __init__(
        self, middleware: IdempotencyMiddleware, scope: Scope, receive: Receive, send: Send, route: Matched
    ) -> None:
        self._app = middleware.app
        self._rules = middleware.rules
        self._scope = scope
        self._fresh: Scope | None = None
        self._receive = receive
        self._send = send
        self._route = route
        self._method: str = scope["method"].upper()
        self._run: Run | None = None
        self._stack = AsyncExitStack()

    async def serve(self) -> None:
        """Serve it."""
        admission = self._rules.admit(self._method, self._route, self._scope["path"], self._lines)
        if admission.refusal is not None:
            await send_reply(admission.refusal, self._send)
        elif admission.key is None:
            await self._without_claim(admission, keep_success=True)
        else:
            said = None if self._rules.scope is None else self._rules.scope(self._scope)
            principal = self._rules.principal(await said if inspect.isawaitable(said) else said)
            if principal is None:
                await self._without_claim(admission, keep_success=False)
            else:
                await self._with_claim(admission, principal)

    def _lines(self, name: str) -> list[str | bytes]:
        """Return the values of all header lines of a name."""
        wanted = name.lower().encode("latin-1")
        return [value for given, value in self._scope["headers"] if given.lower() == wanted]

    def _child(self, current: AsyncCurrent) -> Scope:
        """Return the scope for the application: this very one, and for a repeat one as it was before."""
        if self._fresh is None:
            self._fresh = dict(self._scope)
            child = self._scope
        else:
            child = dict(self._fresh)
        child.setdefault("state", {})[NAME] = current
        self._fresh["state"] = child["state"]
        return child

    async def _without_claim(self, admission: Admission, *, keep_success: bool) -> None:
        """Let the application work on a request that is not claimed.

        :param keep_success: False where the request has a key, but nobody who sent it: the application is to
            refuse it, and what it does otherwise is rolled back.
        """
        current = AsyncCurrent(self._rules.source, self._rules.on_outcome)
        run = Run(
            self._app,
            self._child(current),
            self._receive,
            self._send,
            cap=admission.policy.cap,
            stream=admission.policy.stream,
            holds=(lambda: current.opened) if keep_success else (lambda: True),
        )
        async with current.stack:
            try:
                collected = await run.answer()
            except BaseException:
                await current.finish(keep=False)
                raise
            served = collected is not None and collected.status < 400
            try:
                await current.finish(keep=served and keep_success)
            except BaseException:
                await run.abandon()
                raise
            if collected is None:
                return
            if served and not keep_success:
                await run.abandon()
                _log.error(NO_SCOPE)
                await send_reply(problem("failed", admission.policy, self._scope["path"]), self._send)
                return
            if collected.more:
                await run.proceed()  # while the connection is there
                return
        await run.proceed()

    async def _with_claim(self, admission: Admission, principal: str) -> None:
        """Take a request with a key through the exchange."""
        body = await _read_body(self._receive)
        if body is None:
            return  # the client has gone away before it had said what it wants
        content_type = [value for name, value in self._scope["headers"] if name.lower() == b"content-type"]
        keyed = self._rules.keyed(
            admission,
            principal,
            self._method,
            self._route,
            self._scope["path"],
            _raw_path(self._scope),
            self._scope.get("query_string", b""),
            content_type[0].decode("latin-1") if content_type else None,
            body,
        )
        progress = Progress()
        try:
            reply = await self._drive(exchange(keyed, self._rules.waiters, progress), keyed, body)
        except Exception:
            failed = keyed.problem("failed")
            self._rules.report(self._method, self._route, keyed, progress, failed.status)
            await send_reply(failed, self._send)
            raise  # for the server's log
        try:
            status = (
                self._run.collected.status if reply is None and self._run else reply.status if reply else 0
            )
            self._rules.report(self._method, self._route, keyed, progress, status)
            if reply is not None:
                await send_reply(reply, self._send)
            elif self._run is not None:
                await self._run.proceed()
        finally:
            await self._stack.aclose()

    async def _drive(self, steps: Exchange, keyed: Keyed, body: bytes) -> Reply | None:
        """Do each step of the exchange."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await (
                        asyncio.sleep(step.seconds) if isinstance(step, Pause) else self._ask(keyed, body)
                    )
                except Exception as error:  # noqa: BLE001 - the exchange decides
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            reply: Reply | None = stop.value
            return reply
        finally:
            steps.close()

    async def _ask(self, keyed: Keyed, body: bytes) -> Outcome[Any]:
        """Claim, and let the application work where that is granted; commit; give the connection back."""
        self._run = None
        try:
            async with AsyncExitStack() as stack:
                joined = not keyed.policy.leased
                lending = lend_async(self._rules.source, self._rules.on_outcome, joined=joined)
                lent = await stack.enter_async_context(lending)
                try:
                    return await self._claimed(keyed, body, lent)
                except NotStored:
                    raise
                except BaseException:
                    await self._abandon()  # while it still has its connection
                    raise
                finally:
                    if self._run is not None and self._run.lingers:
                        self._stack = stack.pop_all()
        except NotStored:
            raise
        except BaseException:
            await self._abandon()
            raise

    async def _abandon(self) -> None:
        """Stop the application, if it works."""
        if self._run is not None:
            await self._run.abandon()

    async def _claimed(self, keyed: Keyed, body: bytes, lent: AsyncLent) -> Outcome[Any]:
        """Claim on a connection, let the application work, complete, commit."""

        async def handler(op: AsyncOp) -> Any:
            return await self._work(keyed, body, lent, op)

        policy = keyed.policy
        connect = renewing(self._rules.source) if policy.leased else None
        kind = ThreadedOp if isinstance(lent, ThreadedLent) else AsyncOp
        async with kind(lent.driver, connect, keyed.scope, keyed.key, keyed.lease, policy.abandoned) as op:
            flow = flows.run(op, keyed.claim(), handler, policy.reconcile)
            outcome: Outcome[Any] = await lent.driver.drive(flow if policy.leased else flows.inside(flow))
            return outcome

    async def _work(self, keyed: Keyed, body: bytes, lent: AsyncLent, op: AsyncOp) -> Any:
        """Let the application work, and say what is to be stored of its answer."""
        current = AsyncCurrent(self._rules.source, self._rules.on_outcome, op, lent)
        run = self._run = Run(
            self._app,
            self._child(current),
            self._receive,
            self._send,
            cap=keyed.policy.cap,
            stream=keyed.policy.stream,
            body=body,
        )
        try:
            collected = await run.answer()
            assert collected is not None, "all of it is held back"
            answer, keep = conclude(keyed.policy, collected, current.reference)
        except BaseException:
            await lent.drop()
            raise
        finally:
            current.answered()
        if not keep:
            await lent.drop()
            raise answer
        await lent.settle()
        return answer


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None where the client breaks off."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _raw_path(scope: Scope) -> bytes:
    """Return the path of a request, decoded to bytes."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        return path.encode("utf-8", "surrogateescape")
    return unquote_to_bytes(raw.partition(b"?")[0])


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log what went wrong with a request that nobody waits for any more, without its words."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("a request whose client had gone away failed: %s", type(error).__name__)
