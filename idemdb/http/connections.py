"""Lend a connection for a request: to claim on, and as the handler is given it.

Where there is an SQLAlchemy sessionmaker, the claim is made on a connection, and the handler's Session joins
its transaction: ``commit`` and ``rollback`` of the handler then move within it, and cannot end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import sessionmaker

from idemdb.drivers import adapt, adapt_async
from idemdb.drivers.base import AsyncDriver, Driver, Observer
from idemdb.opening import opened, opened_async
from idemdb.statement import Rows, Statement

_JOINED = {"join_transaction_mode": "create_savepoint"}
# Opening may wait for a full pool, so it has threads of its own: those that hold connections go on meanwhile.
_openers = ThreadPoolExecutor(8, thread_name_prefix="idemdb-open")


class Lent:
    """A connection that is lent, and what the handler is given of it."""

    def __init__(self, driver: Driver, handle: Any, session: Any = None) -> None:
        """Hold both.

        :param driver: of the connection.
        :param handle: what the handler is given.
        :param session: the handle, where it is a Session that has joined the connection's transaction.
        """
        self.driver = driver
        self.handle = handle
        self._session = session

    def settle(self) -> None:
        """Put what the handler's Session still holds back into the transaction."""
        if self._session is not None:
            self._session.commit()

    def drop(self) -> None:
        """Forget what the handler's Session holds back."""
        if self._session is not None:
            self._session.close()


class AsyncLent:
    """``Lent`` over an asynchronous connection, or a synchronous one in threads."""

    def __init__(self, driver: AsyncDriver, handle: Any, session: Any = None) -> None:
        """Do what ``Lent`` does."""
        self.driver = driver
        self.handle = handle
        self._session = session

    async def settle(self) -> None:
        """Do what ``Lent.settle`` does."""
        if self._session is not None:
            await self._session.commit()

    async def drop(self) -> None:
        """Do what ``Lent.drop`` does."""
        if self._session is not None:
            await self._session.close()


class Threaded(AsyncDriver):
    """A synchronous driver whose statements are waited for in threads."""

    def __init__(self, lent: Lent) -> None:
        """Use the driver of a connection that is lent."""
        super().__init__(lent.driver.connection, lent.driver._observer)  # noqa: SLF001 - of the same house
        self._driver = lent.driver

    async def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """See AsyncDriver."""
        return await asyncio.to_thread(self._driver.fetch, sql, params)

    def place(self) -> tuple[Any, Any, Any]:
        """See AsyncDriver."""
        return self._driver.place()

    async def idle(self) -> bool:
        """See AsyncDriver."""
        return self._driver.idle()

    async def autocommits(self) -> bool:
        """See AsyncDriver."""
        return self._driver.autocommits()

    async def enter(self) -> Any:
        """See AsyncDriver."""
        return await asyncio.to_thread(self._driver.enter)

    async def keep(self, point: Any) -> None:
        """See AsyncDriver."""
        await asyncio.to_thread(self._driver.keep, point)

    async def undo(self, point: Any) -> None:
        """See AsyncDriver."""
        await asyncio.to_thread(self._driver.undo, point)


class ThreadedLent(AsyncLent):
    """What ``AsyncLent`` is, over a synchronous connection."""

    def __init__(self, lent: Lent) -> None:
        """Use a connection that is lent."""
        super().__init__(Threaded(lent), lent.handle)
        self._lent = lent

    async def settle(self) -> None:
        """Do what ``Lent.settle`` does."""
        await asyncio.to_thread(self._lent.settle)

    async def drop(self) -> None:
        """Do what ``Lent.drop`` does."""
        await asyncio.to_thread(self._lent.drop)


@contextmanager
def lend(source: Any, observer: Observer | None, *, joined: bool) -> Iterator[Lent]:
    """Lend a connection, given back at the end, its transaction rolled back if it has one open.

    :param source: a sessionmaker or Engine of SQLAlchemy, a pool of psycopg, or a function that opens one.
    :param joined: a Session is to join the claim's transaction; else it has the claim in its own.
    """
    engine = _engine(source) if joined else None
    if engine is None:
        with opened(source) as connection:
            driver = adapt(connection, observer)
            yield Lent(driver, connection)
            # What was begun after the answer was committed belongs to nothing.
            if not driver.idle():
                connection.rollback()
        return
    with engine.connect() as connection:
        session = source(bind=connection, **_JOINED)
        try:
            yield Lent(adapt(connection, observer), session, session)
        finally:
            session.close()


@asynccontextmanager
async def lend_async(source: Any, observer: Observer | None, *, joined: bool) -> AsyncIterator[AsyncLent]:
    """Do what ``lend`` does; also with asynchronous sources, and over a synchronous one in threads."""
    if is_sync(source):
        async with _in_threads(lend(source, observer, joined=joined)) as lent:
            yield ThreadedLent(lent)
        return
    engine = _engine(source) if joined else None
    if engine is None:
        async with opened_async(source) as connection:
            driver = adapt_async(connection, observer)
            yield AsyncLent(driver, connection)
            # What was begun after the answer was committed belongs to nothing; asyncpg's blocks end theirs.
            if hasattr(connection, "rollback") and not await driver.idle():
                await connection.rollback()
        return
    async with engine.connect() as connection:
        session = source(bind=connection, **_JOINED)
        try:
            yield AsyncLent(adapt_async(connection, observer), session, session)
        finally:
            await session.close()


def is_sync(source: Any) -> bool:
    """Say whether a source lends connections that block."""
    if isinstance(source, sessionmaker | Engine):
        return True
    # psycopg's pools, by name: whether the package is there does not matter.
    return any(kind.__name__ in ("ConnectionPool", "NullConnectionPool") for kind in type(source).__mro__)


def renewing(source: Any) -> Any:
    """Return what opens connections for renewals: an engine rather than its sessions."""
    return _engine(source) or source


def _engine(source: Any) -> Any:
    """Return the engine of a sessionmaker; None where it has none, or several."""
    if isinstance(source, sessionmaker | async_sessionmaker):
        bind = source.kw.get("bind")
        if isinstance(bind, Engine | AsyncEngine):
            return bind
    return None


@asynccontextmanager
async def _in_threads(context: AbstractContextManager[Lent]) -> AsyncIterator[Lent]:
    """Enter and leave a context in threads."""
    lent = await asyncio.get_running_loop().run_in_executor(_openers, context.__enter__)
    try:
        yield lent
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
