"""The Idempotency-Key header for Starlette: the routes are its own, and so are their policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute, Match, Mount

from idemdb.http.asgi import IdempotencyMiddleware as _Middleware
from idemdb.http.asgi import connection as _connection
from idemdb.http.asgi import current as _current
from idemdb.http.asgi_run import Scope
from idemdb.http.current import AsyncCurrent
from idemdb.http.policy import Matched, declared


class IdempotencyMiddleware(_Middleware):
    """The middleware for ``app.add_middleware``, or around an application; see asgi and Rules.

    The route is the template of Starlette's route, its policy that of its endpoint.
    """

    def find(self, scope: Scope) -> Matched | str | None:
        """Return the route that a request matches, None for none."""
        if self._route is not None:
            return self._route(scope)
        # Within the stack of an application the innermost one that serves it; around one, that one.
        return match(scope, scope.get("app") or self.app)


def match(scope: Scope, app: Any) -> Matched | None:
    """Return the route of an application that serves a request; None where there is none, or a 405."""
    return _match(dict(scope), app.routes, "")


async def connection(request: Any) -> Any:
    """Return the connection or Session whose transaction holds the request's claim."""
    return await _connection(request.scope)


def current(request: Any) -> AsyncCurrent:
    """Return what the middleware knows of a request."""
    return _current(request.scope)


def _match(scope: Scope, routes: Any, prefix: str) -> Matched | None:
    """Return the first route that serves a request; one behind another finds out about its own routes."""
    for route in _flat(routes):
        found, child = route.matches(scope)
        if found is not Match.FULL:
            continue
        inner = getattr(route, "routes", None)
        path = prefix + getattr(route, "path", "")
        if inner:
            # Like Starlette, no other route is tried once a mount has taken the request.
            return _match({**scope, **child}, inner, path)
        if isinstance(route, Mount):
            # An application that keeps its routes to itself: the path stands for them.
            rest = child["root_path"].removeprefix(scope.get("root_path", ""))
            return Matched(path + scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(rest))
        endpoint = getattr(route, "endpoint", None)
        return Matched(path, declared(endpoint))
    return None


def _flat(routes: Any) -> Iterator[BaseRoute]:
    """Give routes; those of FastAPI's included routers with the prefixes under which they are included."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
            continue
        for context in contexts():
            yield getattr(context, "starlette_route", None) or context
