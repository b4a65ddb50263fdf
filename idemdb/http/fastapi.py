"""The Idempotency-Key header for FastAPI: one line for an application, and dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from idemdb.aio import AsyncOp
from idemdb.http.asgi import current
from idemdb.http.openapi import describe
from idemdb.http.policy import Matched, declared
from idemdb.http.rules import Rules, Settings
from idemdb.http.starlette import IdempotencyMiddleware, _flat


def add_idempotency(app: FastAPI, source: Any, **settings: Unpack[Settings]) -> None:
    """Make the POST, PUT, PATCH and DELETE routes of an application follow the Idempotency-Key header.

    :param app: to which the middleware is added, and whose OpenAPI document describes it.
    :param source: lends connections; see Rules, which has the other settings, too.
    """
    rules = Rules(source, **settings)  # refuses bad settings here, not when the first request comes
    app.add_middleware(IdempotencyMiddleware, source=source, **settings)
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        describe(document, rules, list(_operations(app)))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


async def claimed(request: HTTPConnection) -> Any:
    """Return the Session or connection whose transaction holds the request's claim: a dependency.

    ``session: Annotated[AsyncSession, Depends(claimed)]``. Requests without a key get one, too; its
    transaction commits before the answer is sent when that is below 400, and is rolled back otherwise.
    """
    return await current(request.scope).connection()


async def operation(request: HTTPConnection) -> AsyncOp | None:
    """Return the run that holds the claim: a dependency of leased routes. None without a key."""
    return current(request.scope).operation


def _operations(app: FastAPI) -> Iterator[tuple[str, Matched]]:
    """Give method and route of all operations of an application's own routers."""
    for route in _flat(app.routes):
        methods, endpoint = getattr(route, "methods", None), getattr(route, "endpoint", None)
        path = getattr(route, "path_format", None)
        for method in methods or ():
            if path is not None:
                yield method, Matched(path, declared(endpoint))
