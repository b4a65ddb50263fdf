"""An ASGI application at work on one request; its answer is held back until it is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from idemdb.http.answers import BrokenOff, Collected, Reply, check_whole, is_stream

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Ways of sending a body past the middleware; the application is not to know of them.
_SHORTCUTS = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")


class Run:
    """An application at work on one request.

    It runs in a task of its own. When its answer is there as a whole, or is found to be too large or a
    stream, the application is held at that very ``send`` until ``proceed``: what it does afterwards
    (background tasks, the rest of a stream) comes after the commit.
    """

    def __init__(
        self,
        app: App,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        cap: int,
        stream: bool,
        body: bytes | None = None,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare, without starting.

        :param body: of the request, already read; None leaves reading to the application.
        :param holds: asked when the answer begins: False lets all of it pass at once.
        """
        self._app = app
        self._scope = scope
        self._outer_receive = receive
        self._outer_send = send
        self._cap = cap
        self._stream = stream
        self._body = body
        self._given = False
        self._holds = holds
        self._passing = False
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._extra: Message | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Collected] = loop.create_future()
        self._gate: asyncio.Future[None] = loop.create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def collected(self) -> Collected:
        """Return the answer, once it is there."""
        return self._ready.result()

    @property
    def lingers(self) -> bool:
        """Say whether the application is held before the end of its answer: it may need its connection."""
        alive = self._task is not None and not self._task.done()
        return alive and self._ready.done() and self.collected.more

    async def answer(self) -> Collected | None:
        """Start the application, and return its answer; None where that has passed.

        :raises BrokenOff: when the application ends before its answer does.
        """
        extensions = dict(self._scope.get("extensions") or {})
        for name in _SHORTCUTS:
            extensions.pop(name, None)
        if "extensions" in self._scope:
            self._scope["extensions"] = extensions
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        try:
            ends: set[asyncio.Future[Any]] = {self._task, self._ready}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.abandon()
            raise
        if self._ready.done():
            collected = self._ready.result()
            try:
                if self._scope["method"] != "HEAD":
                    check_whole(collected)
            except BrokenOff:
                await self.abandon()
                raise
            return collected
        self._task.result()
        if self._passing:
            return None
        raise BrokenOff("the application ended before its answer did")

    async def proceed(self) -> None:
        """Send the answer, and let the application go on to its end."""
        collected = self.collected
        assert self._start is not None, "there is an answer"
        assert self._task is not None, "the application was started"
        try:
            await self._outer_send(self._start)
            if self._extra is not None:
                await self._outer_send(self._extra)
            elif collected.body or not collected.more:
                await self._outer_send(
                    {"type": "http.response.body", "body": collected.body, "more_body": collected.more}
                )
        except BaseException:
            self._gate.set_result(None)
            await asyncio.wait({self._task})
            raise
        self._gate.set_result(None)
        await self._task

    async def abandon(self) -> None:
        """Stop the application: its answer is not sent."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._task is not None and not self._task.cancelled():
            self._task.exception()

    async def _receive(self) -> Message:
        """Give the application the body; that the client has gone away is told only after the answer."""
        if self._body is not None:
            body, self._body = self._body, None
            self._given = True
            return {"type": "http.request", "body": body, "more_body": False}
        if self._given:
            await asyncio.shield(self._gate)
        return await self._outer_receive()

    async def _send(self, message: Message) -> None:
        """Take what the application sends."""
        kind = message["type"]
        if self._passing:
            await self._outer_send(message)
        elif kind == "http.response.start":
            await self._begin(message)
        elif kind == "http.response.body" and self._start is not None:
            self._chunks.append(bytes(message.get("body", b"")))
            self._size += len(self._chunks[-1])
            more = bool(message.get("more_body", False))
            if not more or self._size > self._cap or self._streams():
                await self._hold(more=more)
        elif self._start is not None and kind != "http.response.debug":
            self._extra = message
            await self._hold(more=True)
        else:
            await self._outer_send(message)

    async def _begin(self, message: Message) -> None:
        """Take status and headers."""
        if not self._holds():
            self._passing = True
            await self._outer_send(message)
            return
        self._start = message
        if self._streams():
            await self._hold(more=True)

    def _streams(self) -> bool:
        """Say whether the answer is a stream from its beginning."""
        assert self._start is not None, "the answer has begun"
        return self._stream or is_stream(self._start.get("headers", ()))

    async def _hold(self, *, more: bool) -> None:
        """Hold the application until its answer is committed."""
        assert self._start is not None, "the answer has begun"
        headers = tuple((bytes(name), bytes(value)) for name, value in self._start.get("headers", ()))
        omitted = more or self._size > self._cap
        body = b"".join(self._chunks)
        self._ready.set_result(Collected(self._start["status"], headers, body, omitted, more))
        await self._gate
        self._passing = True


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
