"""One face for every connection that idemdb takes, so that each test of the suite is written once.

Everything is awaitable. Over a synchronous connection nothing ever waits, and a coroutine that never waits
can also be a handler of ``Idem``: it is run to its end on the spot.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from idemdb import AsyncConsumer, AsyncIdem, Consumer, Idem, KeyRecord
from idemdb.flows import Work
from idemdb.testing import age_key


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("a handler over a synchronous connection waited")


class Face:
    """An Idem, AsyncIdem, Op or AsyncOp with awaitable methods that take coroutine functions as handlers."""

    def __init__(self, target: Any, *, waits: bool) -> None:
        self.target = target
        self._waits = waits

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.target, name)
        if not callable(attribute):
            return attribute

        async def method(*args: Any, **options: Any) -> Any:
            given = [self._handler(arg) if callable(arg) else arg for arg in args]
            named = {key: self._handler(arg) if callable(arg) else arg for key, arg in options.items()}
            answer = attribute(*given, **named)
            return await answer if inspect.isawaitable(answer) else answer

        return method

    def _handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler as this side wants it; what it is given of the run has this face, too."""

        def faces(args: tuple[Any, ...]) -> list[Any]:
            return [Face(arg, waits=self._waits) if isinstance(arg, Work) else arg for arg in args]

        async def waiting(*args: Any) -> Any:
            answer = function(*faces(args))
            return await answer if inspect.isawaitable(answer) else answer

        return waiting if self._waits else lambda *args: _finish(waiting(*args))


class Kit(ABC):
    """Connections of one kind to one database."""

    waits = False
    # What a failed statement raises here.
    database_error: type[Exception] = DBAPIError

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._open: list[Any] = []

    def idem(self, connection: Any, **options: Any) -> Any:
        """Return idemdb over a connection."""
        return Face((AsyncIdem if self.waits else Idem)(connection, **options), waits=self.waits)

    def consumer(self, name: str, connect: Any = None) -> Any:
        """Return a consumer with connections of this kind."""
        made = (AsyncConsumer if self.waits else Consumer)(name, connect or self.opener())
        return Face(made, waits=self.waits)

    async def open(self, *, autocommit: bool = False) -> Any:
        """Return a new connection, closed at the end of the test."""
        connection = await self._connect(autocommit=autocommit)
        self._open.append(connection)
        return connection

    async def close(self) -> None:
        """Close what was opened."""
        for connection in reversed(self._open):
            await _wait(connection.close())

    @asynccontextmanager
    async def transaction(self, connection: Any) -> AsyncIterator[Any]:
        """Run a block in a transaction that it commits, as the users of this connection do."""
        block = self._block(connection)
        if hasattr(block, "__aenter__"):
            async with block:
                yield self.idem(connection)
        else:
            with block:
                yield self.idem(connection)

    def age(self, key: str, seconds: float) -> None:
        """Make a key of scope ``s`` older."""
        with psycopg.connect(self.dsn) as connection:
            age_key(connection, "s", key, seconds)

    def record(self, key: str = "k") -> KeyRecord:
        """Return what is committed of a key of scope ``s``."""
        with psycopg.connect(self.dsn) as connection:
            return Idem(connection).lookup("s", key)

    def work(self) -> list[int]:
        """Return what is committed of the table ``work``."""
        with psycopg.connect(self.dsn) as connection:
            return [n for (n,) in connection.execute("select n from work order by n")]

    @abstractmethod
    async def _connect(self, *, autocommit: bool) -> Any:
        """Open a connection."""

    @abstractmethod
    def _block(self, connection: Any) -> Any:
        """Return the context manager of a transaction."""

    @abstractmethod
    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        """Run a statement in the connection's transaction."""

    @abstractmethod
    def factory(self) -> Any:
        """Return what ``connect=`` takes here."""

    def opener(self) -> Any:
        """Return what opens connections of this very kind."""
        return self.factory()


async def _wait(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


class PsycopgKit(Kit):
    """psycopg's Connection."""

    database_error = psycopg.Error

    async def _connect(self, *, autocommit: bool) -> Any:
        return psycopg.connect(self.dsn, autocommit=autocommit)

    def _block(self, connection: Any) -> Any:
        return connection.transaction()

    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []

    def factory(self) -> Any:
        return lambda: psycopg.connect(self.dsn)


class AsyncPsycopgKit(PsycopgKit):
    """psycopg's AsyncConnection."""

    waits = True

    async def _connect(self, *, autocommit: bool) -> Any:
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=autocommit)

    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        cursor = await connection.execute(text)
        return await cursor.fetchall() if cursor.description else []

    def factory(self) -> Any:
        return lambda: psycopg.AsyncConnection.connect(self.dsn)


class AutocommitKit(PsycopgKit):
    """psycopg's Connection in autocommit mode; it has transactions where a block asks for one."""

    async def _connect(self, *, autocommit: bool) -> Any:
        return await super()._connect(autocommit=True)


class AsyncAutocommitKit(AsyncPsycopgKit):
    """psycopg's AsyncConnection in autocommit mode."""

    async def _connect(self, *, autocommit: bool) -> Any:
        return await super()._connect(autocommit=True)


class AsyncpgKit(Kit):
    """asyncpg's Connection, which has no other mode than autocommit."""

    waits = True
    database_error = asyncpg.PostgresError

    async def _connect(self, *, autocommit: bool) -> Any:
        return await asyncpg.connect(self.dsn)

    def _block(self, connection: Any) -> Any:
        return connection.transaction()

    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.fetch(text)]

    def factory(self) -> Any:
        return lambda: asyncpg.connect(self.dsn)


class AlchemyKit(Kit):
    """SQLAlchemy's Connection, or Session."""

    _session_class: Any = Session

    def __init__(self, dsn: str, driver: str, *, session: bool) -> None:
        super().__init__(dsn)
        self._session = session
        self._engine = self._make_engine(dsn.replace("postgresql:", f"postgresql+{driver}:"))

    def _make_engine(self, url: str) -> Any:
        return create_engine(url)

    async def _connect(self, *, autocommit: bool) -> Any:
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else self._engine
        return Session(engine) if self._session else engine.connect()

    def _block(self, connection: Any) -> Any:
        return connection.begin()

    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        core = connection.connection() if self._session else connection
        return _rows(core.exec_driver_sql(text))

    async def close(self) -> None:
        await super().close()
        self._engine.dispose()

    def factory(self) -> Any:
        return self._engine

    def opener(self) -> Any:
        return partial(self._session_class, self._engine) if self._session else self._engine


class AsyncAlchemyKit(AlchemyKit):
    """SQLAlchemy's AsyncConnection, or AsyncSession."""

    waits = True
    _session_class = AsyncSession

    def _make_engine(self, url: str) -> Any:
        return create_async_engine(url)

    async def _connect(self, *, autocommit: bool) -> Any:
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else self._engine
        return AsyncSession(engine) if self._session else await engine.connect()

    async def sql(self, connection: Any, text: str) -> list[tuple[Any, ...]]:
        core = await connection.connection() if self._session else connection
        return _rows(await core.exec_driver_sql(text))

    async def close(self) -> None:
        await Kit.close(self)
        await self._engine.dispose()


def _rows(result: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a result of SQLAlchemy."""
    return [tuple(row) for row in result.fetchall()] if result.returns_rows else []


KITS: dict[str, Callable[[str], Kit]] = {
    "psycopg": PsycopgKit,
    "psycopg-async": AsyncPsycopgKit,
    "psycopg-autocommit": AutocommitKit,
    "psycopg-async-autocommit": AsyncAutocommitKit,
    "asyncpg": AsyncpgKit,
    "connection-psycopg": lambda dsn: AlchemyKit(dsn, "psycopg", session=False),
    "connection-psycopg2": lambda dsn: AlchemyKit(dsn, "psycopg2", session=False),
    "session-psycopg": lambda dsn: AlchemyKit(dsn, "psycopg", session=True),
    "session-psycopg2": lambda dsn: AlchemyKit(dsn, "psycopg2", session=True),
    "async-connection-psycopg": lambda dsn: AsyncAlchemyKit(dsn, "psycopg", session=False),
    "async-connection-asyncpg": lambda dsn: AsyncAlchemyKit(dsn, "asyncpg", session=False),
    "async-session-psycopg": lambda dsn: AsyncAlchemyKit(dsn, "psycopg", session=True),
    "async-session-asyncpg": lambda dsn: AsyncAlchemyKit(dsn, "asyncpg", session=True),
}

# Kinds for tests that are not for all; of SQLAlchemy's, AUTOCOMMIT has no transactions, not even in a block.
ALCHEMY = [name for name in KITS if "connection" in name or "session" in name]
NATIVE = [name for name in KITS if name not in ALCHEMY]
WAITING = [name for name in KITS if "async" in name]
