"""The methods of ``AsyncIdem`` on rows of the caller's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from idemdb import row_flows
from idemdb.calls.rows import Options
from idemdb.drivers.base import AsyncDriver
from idemdb.results import RowResult
from idemdb.row_flows import Progress, checked, target
from idemdb.row_flows import names as _names


class AsyncRowMethods:
    """A part of ``AsyncIdem``."""

    _driver: AsyncDriver

    async def create(
        self,
        table: Any,
        values: Mapping[Any, Any],
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
    ) -> RowResult[Any]:
        """Do what ``Idem.create`` does."""
        options = Options(index, _names(columns), _names(returning))
        return await self._driver.drive(
            row_flows.one_row("create", target(self._driver, table), values, options)
        )

    async def put(
        self,
        table: Any,
        values: Mapping[Any, Any],
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
        version: str | None = None,
        expect: Any = None,
        replace: bool = False,
    ) -> RowResult[Any]:
        """Do what ``Idem.put`` does."""
        options = Options(index, _names(columns), _names(returning), version, expect is not None, replace)
        flow = row_flows.one_row("put", target(self._driver, table), values, checked(options), expect)
        return await self._driver.drive(flow)

    async def delete(
        self,
        table: Any,
        key: Mapping[Any, Any],
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
        stub: bool = False,
    ) -> RowResult[Any]:
        """Do what ``Idem.delete`` does."""
        options = Options(index, _names(columns), _names(returning), stub=stub)
        return await self._driver.drive(
            row_flows.one_row("delete", target(self._driver, table), key, options)
        )

    async def create_many(
        self,
        table: Any,
        rows: Sequence[Mapping[Any, Any]],
        progress: Progress | None = None,
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
    ) -> list[RowResult[Any]]:
        """Do what ``Idem.create_many`` does."""
        options = Options(index, _names(columns), _names(returning))
        flow = row_flows.many_rows("create", target(self._driver, table), rows, options, progress)
        return await self._driver.drive(flow)

    async def put_many(
        self,
        table: Any,
        rows: Sequence[Mapping[Any, Any]],
        progress: Progress | None = None,
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
        version: str | None = None,
        replace: bool = False,
    ) -> list[RowResult[Any]]:
        """Do what ``Idem.put_many`` does."""
        options = Options(index, _names(columns), _names(returning), version, replace=replace)
        flow = row_flows.many_rows("put", target(self._driver, table), rows, options, progress)
        return await self._driver.drive(flow)
