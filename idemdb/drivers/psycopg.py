"""psycopg's connections."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, Rollback
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from idemdb.drivers.base import AsyncDriver, Driver
from idemdb.statement import Rows, Statement


class Psycopg(Driver):
    """psycopg's Connection."""

    connection: Connection[Any]

    def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """Use a plain cursor, whatever rows and cursors the connection makes by default."""
        cursor = Cursor(self.connection, row_factory=tuple_row)
        return cursor.execute(sql.format, params).fetchall()

    def place(self) -> tuple[Any, Any, Any]:
        """See Driver."""
        return "psycopg", _database(self.connection.pgconn), None

    def idle(self) -> bool:
        """See Driver."""
        return self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    def autocommits(self) -> bool:
        """See Driver."""
        return self.connection.autocommit and self.idle()

    def enter(self) -> AbstractContextManager[Any]:
        """Use psycopg's block, in which it refuses commit() and rollback()."""
        point = self.connection.transaction()
        point.__enter__()
        return point

    def keep(self, point: AbstractContextManager[Any]) -> None:
        """See Driver."""
        point.__exit__(None, None, None)

    def undo(self, point: AbstractContextManager[Any]) -> None:
        """See Driver."""
        point.__exit__(Rollback, Rollback(), None)


class AsyncPsycopg(AsyncDriver):
    """psycopg's AsyncConnection."""

    connection: AsyncConnection[Any]

    async def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """Use a plain cursor, whatever rows and cursors the connection makes by default."""
        cursor = AsyncCursor(self.connection, row_factory=tuple_row)
        return await (await cursor.execute(sql.format, params)).fetchall()

    def place(self) -> tuple[Any, Any, Any]:
        """See Driver."""
        return "psycopg", _database(self.connection.pgconn), None

    async def idle(self) -> bool:
        """See Driver."""
        return self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    async def autocommits(self) -> bool:
        """See Driver."""
        return self.connection.autocommit and await self.idle()

    async def enter(self) -> AbstractAsyncContextManager[Any]:
        """Use psycopg's block, in which it refuses commit() and rollback()."""
        point = self.connection.transaction()
        await point.__aenter__()
        return point

    async def keep(self, point: AbstractAsyncContextManager[Any]) -> None:
        """See Driver."""
        await point.__aexit__(None, None, None)

    async def undo(self, point: AbstractAsyncContextManager[Any]) -> None:
        """See Driver."""
        await point.__aexit__(Rollback, Rollback(), None)


def _database(pgconn: Any) -> Any:
    """Return which database a connection has."""
    return pgconn.host, pgconn.hostaddr, pgconn.port, pgconn.db
