"""Choose the driver for the caller's connection.

By name, and imported when it is first used, so that no driver needs to be installed but the one in use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from idemdb.drivers.base import AsyncDriver, Driver, Observer
from idemdb.errors import InvalidArgument

_Names = dict[tuple[str, str], tuple[str, str]]

_SYNC: _Names = {
    ("psycopg", "Connection"): ("psycopg", "Psycopg"),
    ("sqlalchemy", "Connection"): ("alchemy", "Alchemy"),
    ("sqlalchemy", "Session"): ("alchemy", "AlchemySession"),
}
_ASYNC: _Names = {
    ("psycopg", "AsyncConnection"): ("psycopg", "AsyncPsycopg"),
    ("sqlalchemy", "AsyncConnection"): ("alchemy", "AsyncAlchemy"),
    ("sqlalchemy", "AsyncSession"): ("alchemy", "AsyncAlchemySession"),
    ("asyncpg", "Connection"): ("asyncpg", "Asyncpg"),
    ("asyncpg", "PoolConnectionProxy"): ("asyncpg", "Asyncpg"),
}
_SCOPED = {("sqlalchemy", "scoped_session"), ("sqlalchemy", "async_scoped_session")}


def adapt(connection: Any, observer: Observer | None = None) -> Driver:
    """Return the driver for a synchronous connection."""
    driver: Driver = _find(connection, observer, "Idem", _SYNC, _ASYNC)
    return driver


def adapt_async(connection: Any, observer: Observer | None = None) -> AsyncDriver:
    """Return the driver for an asynchronous connection."""
    driver: AsyncDriver = _find(connection, observer, "AsyncIdem", _ASYNC, _SYNC)
    return driver


def _find(connection: Any, observer: Observer | None, user: str, known: _Names, others: _Names) -> Any:
    """Return the driver for a connection; a scoped session stands for its present session."""
    names = _names(connection)
    if _SCOPED.intersection(names):
        connection = connection()
        names = _names(connection)
    for name in names:
        if name in known:
            module, driver = known[name]
            return getattr(import_module(f"idemdb.drivers.{module}"), driver)(connection, observer)
    taken = ", ".join(f"{package}'s {name}" for package, name in known)
    other = "AsyncIdem" if user == "Idem" else "Idem"
    hint = f"{other} takes it" if any(name in others for name in names) else None
    raise InvalidArgument(f"{user} takes {taken}, not {'.'.join(names[0])}", hint=hint)


def _names(connection: object) -> list[tuple[str, str]]:
    """Return package and name of an object's class and of those that it inherits from."""
    return [(kind.__module__.partition(".")[0], kind.__name__) for kind in type(connection).__mro__]
