"""A WSGI application at work on one request; its answer is held back until it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from idemdb.http.answers import BrokenOff, Collected, check_whole, is_stream

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class Run:
    """An application at work on one request."""

    def __init__(
        self,
        app: App,
        environ: Environ,
        *,
        cap: int,
        stream: bool,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare, without starting.

        :param holds: asked when the answer begins: False lets the rest of it pass.
        """
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self._app = app
        self._environ = environ
        self._cap = cap
        self._stream = stream
        self._holds = holds
        self._iterable: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._chunks: list[bytes] = []
        self._size = 0

    def answer(self) -> Collected:
        """Start the application, and return its answer, or the beginning of one too large, or of a stream.

        :raises BrokenOff: when the application ends before its answer does.
        """
        self._iterable = self._app(self._environ, self._start_response)
        self._iterator = iter(self._iterable)
        more = True
        while more and not self._suffices():
            try:
                self._take(next(self._iterator))
            except StopIteration:
                more = False
        if not self.status:
            raise BrokenOff("the application ended before its answer did")
        body, self._chunks = b"".join(self._chunks), []
        headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers)
        omitted = more or self._size > self._cap
        collected = Collected(int(self.status.partition(" ")[0]), headers, body, omitted, more)
        if self._environ["REQUEST_METHOD"].upper() != "HEAD":
            check_whole(collected)
        return collected

    def rest(self) -> Iterator[bytes]:
        """Give what the application has not answered yet."""
        for chunk in self._iterator:
            yield from self._chunks
            self._chunks.clear()
            yield chunk
        yield from self._chunks

    def abandon(self) -> None:
        """End the application's work."""
        close = getattr(self._iterable, "close", None)
        self._iterable = ()
        if close is not None:
            close()

    def _suffices(self) -> bool:
        """Say whether the rest need not be collected."""
        if not self.status:
            return False
        if self._size > self._cap or (self._size and not self._holds()):
            return True
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        return self._stream or is_stream(pairs)

    def _take(self, chunk: bytes) -> None:
        """Collect a part of the body."""
        self._chunks.append(bytes(chunk))
        self._size += len(chunk)

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Take status and headers; an application that has failed meanwhile may give others."""
        if self.status and exc_info is None:
            raise AssertionError("start_response was called again without an error")
        self.status, self.headers = status, list(headers)
        return self._take
