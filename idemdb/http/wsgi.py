"""The Idempotency-Key header for WSGI applications."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack

from idemdb.http.answers import Collected, Reply
from idemdb.http.current import NAME, NOT_SEEN, Current
from idemdb.http.policy import Matched
from idemdb.http.problems import problem
from idemdb.http.rules import NO_SCOPE, Admission, Rules, Settings
from idemdb.http.serving import Serving
from idemdb.http.wsgi_run import App, Environ, Run, StartResponse
from idemdb.sync import Op

_log = logging.getLogger("idemdb")

Route = Callable[[Environ], Matched | str | None]


class IdempotencyMiddleware:
    """Make a WSGI application's POST, PUT, PATCH and DELETE routes follow the Idempotency-Key header."""

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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        found = self.find(environ)
        if found is None:
            return self.app(environ, start_response)
        route = Matched(found) if isinstance(found, str) else found
        return _Request(self.app, self.rules, environ, start_response, route).serve()

    def find(self, environ: Environ) -> Matched | str | None:
        """Return the route that a request matches, None for none."""
        return _path(environ) if self._route is None else self._route(environ)


def current(environ: Environ) -> Current:
    """Return what the middleware knows of a request.

    :param environ: the request's, as the application got it.
    :raises LookupError: where no middleware has seen it.
    """
    found = environ.get(NAME)
    if isinstance(found, Current):
        return found
    raise LookupError(NOT_SEEN)


def connection(environ: Environ) -> Any:
    """Return the connection or Session whose transaction holds the request's claim."""
    return current(environ).connection()


def operation(environ: Environ) -> Op | None:
    """Return the run that holds the claim: for steps, and keys for other services. None without a key."""
    return current(environ).operation


class _Request:
    """One request on its way through the middleware."""

    def __init__(
        self, app: App, rules: Rules, environ: Environ, start_response: StartResponse, route: Matched
    ) -> None:
        self._app = app
        self._rules = rules
        self._environ = environ
        self._fresh: Environ | None = None
        self._start_response = start_response
        self._route = route
        self._method: str = environ["REQUEST_METHOD"].upper()
        self._path = _path(environ)
        self._run: Run | None = None

    def serve(self) -> Iterable[bytes]:
        """Serve it."""
        admission = self._rules.admit(self._method, self._route, self._path, self._lines)
        if admission.refusal is not None:
            return self._reply(admission.refusal)
        if admission.key is None:
            return self._without_claim(admission, keep_success=True)
        said = None if self._rules.scope is None else self._rules.scope(self._environ)
        principal = self._rules.principal(said)
        if principal is None:
            return self._without_claim(admission, keep_success=False)
        return self._with_claim(admission, principal)

    def _lines(self, name: str) -> list[str | bytes]:
        """Return the value of a header: servers have joined its lines."""
        value = self._environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return [] if value is None else [value]

    def _reply(self, reply: Reply) -> list[bytes]:
        """Send a whole answer."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers]
        self._start_response(reply.line, headers)
        return [reply.body]

    def _child(self, current: Current) -> Environ:
        """Return the environ for the application: this very one, and for a repeat one as it was before."""
        if self._fresh is None:
            self._fresh = dict(self._environ)
            child = self._environ
        else:
            child = dict(self._fresh)
        child[NAME] = current
        return child

    def _without_claim(self, admission: Admission, *, keep_success: bool) -> Iterable[bytes]:
        """Let the application work on a request that is not claimed.

        :param keep_success: False where the request has a key, but nobody who sent it: the application is to
            refuse it, and what it does otherwise is rolled back.
        """
        current = Current(self._rules.source, self._rules.on_outcome)
        policy = admission.policy
        holds = (lambda: current.opened) if keep_success else (lambda: True)
        run = Run(self._app, self._child(current), cap=policy.cap, stream=policy.stream, holds=holds)
        try:
            try:
                collected = run.answer()
            except BaseException:
                current.finish(keep=False)
                raise
            served = collected.status < 400
            current.finish(keep=served and keep_success)
        except BaseException:
            run.abandon()
            current.stack.close()
            raise
        if served and not keep_success:
            run.abandon()
            current.stack.close()
            _log.error(NO_SCOPE)
            return self._reply(problem("failed", policy, self._path))
        if not collected.more:
            current.stack.close()
        return self._send(run, collected, current.stack.close)

    def _with_claim(self, admission: Admission, principal: str) -> Iterable[bytes]:
        """Take a request with a key through the exchange."""
        body = _read_body(self._environ)
        if body is None:
            return self._reply(_BROKEN_OFF)
        keyed = self._rules.keyed(
            admission,
            principal,
            self._method,
            self._route,
            self._path,
            _raw_path(self._environ),
            self._environ.get("QUERY_STRING", "").encode("latin-1"),
            self._environ.get("CONTENT_TYPE"),
            body,
        )

        def work(current: Current) -> Collected:
            environ = self._child(current)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["wsgi.input_terminated"] = True
            environ["CONTENT_LENGTH"] = str(len(body))
            self._run = Run(self._app, environ, cap=keyed.policy.cap, stream=keyed.policy.stream)
            return self._run.answer()

        serving = Serving(self._rules, keyed, work, self._abandon)
        try:
            reply = serving.answer()
        except Exception:  # noqa: BLE001 - told to the server's log, as the server itself would
            traceback.print_exc(file=self._environ.get("wsgi.errors"))
            reply = keyed.problem("failed")
        collected = serving.collected
        status = reply.status if reply else collected.status if collected else 0
        self._rules.report(self._method, self._route, keyed, serving.progress, status)
        if reply is None and collected is not None and self._run is not None:
            return self._send(self._run, collected, serving.close)
        serving.close()
        return self._reply(reply or keyed.problem("failed"))

    def _abandon(self) -> None:
        """Stop the application, if it works."""
        if self._run is not None:
            self._run.abandon()

    def _send(self, run: Run, collected: Collected, close: Callable[[], None]) -> Iterable[bytes]:
        """Send the application's answer."""
        self._start_response(run.status, run.headers)
        return _Answer(run, collected, close)


class _Answer:
    """The body of an application's answer, on its way to the server."""

    def __init__(self, run: Run, collected: Collected, close: Callable[[], None]) -> None:
        self._run = run
        self._collected = collected
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        """Give what is there, then the rest."""
        if self._collected.body:
            yield self._collected.body
        if self._collected.more:
            yield from self._run.rest()

    def close(self) -> None:
        """End the application's work, and give its connection back: the server calls this at the end."""
        try:
            self._run.abandon()
        finally:
            self._close()


_BROKEN_OFF = Reply(400, ((b"content-type", b"text/plain"),), b"The body of the request has broken off.\n")


def _path(environ: Environ) -> str:
    """Return the path of a request."""
    return _raw_path(environ).decode("utf-8", "surrogateescape")


def _raw_path(environ: Environ) -> bytes:
    """Return the path of a request, as bytes."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1")


def _read_body(environ: Environ) -> bytes | None:
    """Return the body of a request; None where the client breaks off."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal():
        # Chunked: only a server that marks the end can be read to it.
        return bytes(stream.read()) if environ.get("wsgi.input_terminated") else b""
    left, parts = int(length), []
    while left > 0:
        part = stream.read(min(left, _PART))
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


_PART = 2**16
