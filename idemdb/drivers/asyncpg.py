"""asyncpg's connections."""

from __future__ import annotations

from typing import Any

from idemdb.drivers.base import AsyncDriver
from idemdb.statement import Rows, Statement


class Asyncpg(AsyncDriver):
    """asyncpg's Connection, also one from its pool."""

    connection: Any  # asyncpg declares no types
    _savepoints = 0

    async def fetch(self, sql: Statement, params: tuple[Any, ...]) -> Rows:
        """See AsyncDriver."""
        rows: Rows = await self.connection.fetch(sql.dollar, *params)
        return rows

    def place(self) -> tuple[Any, Any, Any]:
        """See Driver. What asyncpg's connection remembers of its address has no public name."""
        connection = getattr(self.connection, "_con", self.connection)
        return "asyncpg", (connection._addr, connection._params.database), None  # noqa: SLF001

    async def idle(self) -> bool:
        """See AsyncDriver."""
        return not self.connection.is_in_transaction()

    async def autocommits(self) -> bool:
        """See AsyncDriver: asyncpg begins no transaction by itself."""
        return await self.idle()

    async def enter(self) -> Any:
        """Make savepoints in SQL: asyncpg's own are refused in a transaction that was begun in SQL."""
        if await self.idle():
            transaction = self.connection.transaction()
            await transaction.start()
            return transaction
        self._savepoints += 1
        name = f"idemdb_{self._savepoints}"
        await self.connection.execute(f"savepoint {name}")
        return name

    async def keep(self, point: Any) -> None:
        """See AsyncDriver."""
        if isinstance(point, str):
            await self.connection.execute(f"release savepoint {point}")
        else:
            await point.commit()

    async def undo(self, point: Any) -> None:
        """See AsyncDriver."""
        if isinstance(point, str):
            await self.connection.execute(f"rollback to savepoint {point}; release savepoint {point}")
        else:
            await point.rollback()
