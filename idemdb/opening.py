"""Open or borrow connections from what callers have: a function, an engine, a pool."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any


def opened(connect: Any) -> contextlib.AbstractContextManager[Any]:
    """Open or borrow a connection; it is closed or given back at the end.

    :param connect: a function that opens a connection, an SQLAlchemy engine, or a pool of psycopg.
    """
    connection: contextlib.AbstractContextManager[Any] = _source(connect)()
    return connection


@contextlib.asynccontextmanager
async def opened_async(connect: Any) -> AsyncIterator[Any]:
    """Do what ``opened`` does; also with asyncpg's pool, and functions that return awaitables."""
    found = _source(connect)()
    if not hasattr(found, "__aenter__") and inspect.isawaitable(found):
        found = await found
    if hasattr(found, "__aenter__"):
        async with found as connection:
            yield connection
        return
    # asyncpg's connections are no context managers.
    try:
        yield found
    finally:
        await found.close()


def _source(connect: Any) -> Any:
    """Return the function that opens a connection, or lends one."""
    if callable(connect):
        return connect
    # psycopg's pools, asyncpg's pool, SQLAlchemy's engines.
    for name in ("connection", "acquire", "connect"):
        if hasattr(connect, name):
            return getattr(connect, name)
    raise TypeError(f"connect must be a function, an engine or a pool, not {type(connect).__name__}")
