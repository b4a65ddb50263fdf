"""SQLAlchemy's connections and sessions, over any driver of PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from idemdb.drivers.base import UNPROTECTED, AsyncDriver, Driver
from idemdb.errors import InvalidArgument
from idemdb.statement import Rows, Statement


class Alchemy(Driver):
    """SQLAlchemy's Connection, over any driver of PostgreSQL."""

    connection: Any

    def _core(self) -> Connection:
        """Return the Connection."""
        connection: Connection = self.connection
        return connection

    def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """Take the way around the compiler; the text is in the style of the DBAPI."""
        core = self._core()
        text = sql.dollar if core.dialect.paramstyle == "numeric_dollar" else sql.format
        return core.exec_driver_sql(text, params).fetchall()

    def place(self) -> tuple[Any, Any, Any]:
        """See Driver: a dialect is one engine's."""
        return self.connection.dialect, None, None

    def prepare(self) -> None:
        """Write what a Session has pending, so that the statements see it."""

    def idle(self) -> bool:
        """See Driver."""
        return not self.connection.in_transaction()

    def autocommits(self) -> bool:
        """See Driver: with the isolation level AUTOCOMMIT even begin() begins nothing."""
        return bool(getattr(self._core().connection.dbapi_connection, "autocommit", False))

    def enter(self) -> Any:
        """See Driver."""
        connection = self.connection
        point = None if connection.in_transaction() else connection.begin()
        if self.autocommits():
            if point is not None:
                point.rollback()
            raise InvalidArgument(UNPROTECTED, hint="use another isolation level than AUTOCOMMIT")
        return connection.begin_nested() if point is None else point

    def keep(self, point: Any) -> None:
        """See Driver."""
        point.commit()

    def undo(self, point: Any) -> None:
        """See Driver."""
        point.rollback()


class AlchemySession(Alchemy):
    """SQLAlchemy's Session: its savepoints flush and roll back its objects, too."""

    connection: Session

    def _core(self) -> Connection:
        """Return the Connection of the Session's transaction."""
        return self.connection.connection()

    def place(self) -> tuple[Any, Any, Any]:
        """See Driver."""
        return self.connection.get_bind().dialect, None, self.connection

    def prepare(self) -> None:
        """See Alchemy."""
        if self.connection.autoflush:
            self.connection.flush()


class AsyncAlchemy(AsyncDriver):
    """SQLAlchemy's AsyncConnection or AsyncSession: the synchronous driver, run where it may await."""

    connection: AsyncConnection | AsyncSession
    sync: type[Alchemy] = Alchemy

    async def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """See AsyncDriver."""
        rows: Rows = await self._run("fetch", sql, params)
        return rows

    def place(self) -> tuple[Any, Any, Any]:
        """See AsyncDriver."""
        return self.connection.dialect, None, None  # type: ignore[union-attr]

    async def prepare(self) -> None:
        """See Alchemy."""
        await self._run("prepare")

    async def idle(self) -> bool:
        """See AsyncDriver."""
        return bool(await self._run("idle"))

    async def autocommits(self) -> bool:
        """See AsyncDriver."""
        return bool(await self._run("autocommits"))

    async def enter(self) -> Any:
        """See AsyncDriver."""
        return await self._run("enter")

    async def keep(self, point: Any) -> None:
        """See AsyncDriver."""
        await self._run("keep", point)

    async def undo(self, point: Any) -> None:
        """See AsyncDriver."""
        await self._run("undo", point)

    async def _run(self, method: str, *args: Any) -> Any:
        """Run a method of the synchronous driver."""
        return await self.connection.run_sync(lambda inner: getattr(self.sync(inner), method)(*args))


class AsyncAlchemySession(AsyncAlchemy):
    """SQLAlchemy's AsyncSession."""

    sync = AlchemySession

    def place(self) -> tuple[Any, Any, Any]:
        """See AsyncDriver."""
        session = self.connection.sync_session  # type: ignore[union-attr]
        return session.get_bind().dialect, None, session
