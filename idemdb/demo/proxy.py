"""A loopback proxy that loses a COMMIT, or the answer to it, on demand."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final, Self

COMMIT: Final = re.compile(r"\s*(commit|end)(\s+(work|transaction))?\s*;?\s*", re.IGNORECASE)

# TLS and GSSAPI, which a client asks for before anything else.
_ENCRYPTION_REQUESTS: Final = frozenset({80877103, 80877104})
_CONNECTION_LOST: Final = (asyncio.IncompleteReadError, ConnectionError)


class Cut(Enum):
    """Say where the connection breaks around a statement."""

    BEFORE = "before"
    """The server never sees the statement."""
    AFTER = "after"
    """The server has done the statement; the client never sees the answer."""


@dataclass
class _Orders:
    """Hold the cuts still to make, in turn, and count the ones made."""

    waiting: deque[tuple[Cut, re.Pattern[str]]] = field(default_factory=deque)
    served: int = 0

    def take(self, text: str) -> Cut | None:
        """Take the order at the head if this is the statement that it waits for."""
        if self.waiting and self.waiting[0][1].fullmatch(text):
            return self.waiting.popleft()[0]
        return None


@dataclass
class _Frontend:
    """Follow the statements of one client, so that an Execute can be told from its Parse and Bind."""

    statements: dict[bytes, str] = field(default_factory=dict)
    portals: dict[bytes, str] = field(default_factory=dict)

    def executed(self, kind: bytes, payload: bytes) -> str | None:
        """Return the SQL text that this message makes the server run, if it does."""
        if kind == b"Q":
            return payload.rstrip(b"\0").decode(errors="replace")
        if kind == b"P":
            name, text, *_ = payload.split(b"\0", 2)
            self.statements[name] = text.decode(errors="replace")
        elif kind == b"B":
            portal, name, *_ = payload.split(b"\0", 2)
            self.portals[portal] = self.statements.get(name, "")
        elif kind == b"E":
            return self.portals.get(payload.split(b"\0", 1)[0])
        return None


class _Link:
    """Carry one client's connection to the server, message by message."""

    def __init__(
        self,
        orders: _Orders,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._orders = orders
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._frontend = _Frontend()
        # The start-up packet is the first request; the server ends the answer to each with ReadyForQuery.
        self._requests = 1
        self._answers = 0
        self._withheld: int | None = None  # number of the request whose answer is to be lost

    async def run(self) -> None:
        """Forward both ways until either side ends or the proxy cuts."""
        ways = {asyncio.ensure_future(self._upstream()), asyncio.ensure_future(self._downstream())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._to_client.close()
            self._to_server.close()

    async def _upstream(self) -> None:
        await self._start_up()
        while True:
            kind, payload, message = await _read_message(self._from_client)
            text = self._frontend.executed(kind, payload)
            cut = self._orders.take(text) if text is not None and self._withheld is None else None
            if cut is Cut.BEFORE:
                self._orders.served += 1
                return
            if cut is Cut.AFTER:
                self._withheld = self._requests + 1
            if kind in b"QSF":
                self._requests += 1
            self._to_server.write(message)
            await self._to_server.drain()

    async def _start_up(self) -> None:
        while True:
            size = await self._from_client.readexactly(4)
            packet = await self._from_client.readexactly(int.from_bytes(size) - 4)
            if int.from_bytes(packet[:4]) not in _ENCRYPTION_REQUESTS:
                self._to_server.write(size + packet)
                return
            self._to_client.write(b"N")  # the proxy has to read what passes

    async def _downstream(self) -> None:
        while True:
            kind, _, message = await _read_message(self._from_server)
            if self._withheld is None or self._answers + 1 < self._withheld:
                self._to_client.write(message)
                await self._to_client.drain()
            self._answers += kind == b"Z"
            if self._answers == self._withheld:
                self._orders.served += 1
                return


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    head = await reader.readexactly(5)
    payload = await reader.readexactly(int.from_bytes(head[1:]) - 4)
    return head[:1], payload, head + payload


class FaultProxy:
    """Forward PostgreSQL connections, and cut them around a COMMIT when told to.

    It listens on 127.0.0.1 on a free port and runs in a thread of its own; use it as a context manager or
    call :meth:`start` and :meth:`stop`. Simple queries, prepared statements and pipelines are understood.
    Connections are not encrypted: a client's request for TLS is declined, so it must not insist on it.

    :param target_host: address of the PostgreSQL server, or the directory of its Unix socket.
    :param target_port: its port.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._orders = _Orders()
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="idemdb-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Inherited by the clients' sockets. asyncio does not do it for them: they do not name their protocol.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host: Final[str] = "127.0.0.1"
        self.port: Final[int] = self._listener.getsockname()[1]

    @property
    def cuts(self) -> int:
        """Count the connections that were cut so far."""
        return self._orders.served

    def cut_next(self, when: Cut, statement: re.Pattern[str] = COMMIT) -> None:
        """Cut the next connection that runs such a statement, once; several orders are served in turn.

        :param when: before the server sees the statement, or after it ran it and before its answer returns.
        :param statement: pattern that the whole SQL text matches; a COMMIT by default.
        """
        self._orders.waiting.append((when, statement))

    def start(self) -> Self:
        """Begin to accept connections."""
        self._thread.start()
        self._call(self._open())
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            server = await self._dial()
            await _Link(self._orders, (reader, writer), server).run()
        except _CONNECTION_LOST:
            writer.close()
        except asyncio.CancelledError:
            pass  # stop() asked for it; asyncio's server would log the cancellation as an error
        finally:
            self._links.discard(task)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
