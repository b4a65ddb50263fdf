"""The methods of ``Idem`` on rows of the caller's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from idemdb import row_flows
from idemdb.calls.rows import Options
from idemdb.drivers.base import Driver
from idemdb.results import RowResult
from idemdb.row_flows import Progress, checked, target
from idemdb.row_flows import names as _names


class RowMethods:
    """A part of ``Idem``."""

    _driver: Driver

    def create(
        self,
        table: Any,
        values: Mapping[Any, Any],
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
    ) -> RowResult[Any]:
        """Create a row unless its natural key exists; 'created', 'existing' or 'gone'.

        :param table: SQLAlchemy's Table, an ORM class, or a name as SQL writes it.
        :param values: by column; for an ORM class by attribute.
        :param index: the natural key's unique index, where several fit the columns given.
        :param columns: the columns that may be given.
        :param returning: the columns of the record, all by default.
        :raises NoNaturalKey: where no unique index fits the columns given, or several do.
        :raises InvalidArgument: for views, rules, unknown and generated columns, a null key.
        :raises HiddenRow: where row-level security hides the row.
        :raises RowContended: where other sessions change the row all the time.
        """
        options = Options(index, _names(columns), _names(returning))
        return self._driver.drive(row_flows.one_row("create", target(self._driver, table), values, options))

    def put(
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
        """Make the row be what is given; 'created', 'updated', 'unchanged', 'stale' or 'gone'.

        The parameters of ``create``, and:

        :param version: a column given: only a greater value wins, else 'stale'.
        :param expect: what the version must be now, else 'stale'.
        :param replace: columns that are not given go back to their default.

        A put that changes nothing writes nothing. Columns of the natural key are never changed.
        """
        options = Options(index, _names(columns), _names(returning), version, expect is not None, replace)
        flow = row_flows.one_row("put", target(self._driver, table), values, checked(options), expect)
        return self._driver.drive(flow)

    def delete(
        self,
        table: Any,
        key: Mapping[Any, Any],
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
        stub: bool = False,
    ) -> RowResult[Any]:
        """Delete a row by its natural key, or set its tombstone; 'deleted' or 'absent'.

        The parameters of ``create``, and:

        :param key: exactly the columns of the natural key.
        :param stub: leave a tombstone also where there is no row.
        """
        options = Options(index, _names(columns), _names(returning), stub=stub)
        return self._driver.drive(row_flows.one_row("delete", target(self._driver, table), key, options))

    def create_many(
        self,
        table: Any,
        rows: Sequence[Mapping[Any, Any]],
        progress: Progress | None = None,
        *,
        index: str | None = None,
        columns: Sequence[str] | None = None,
        returning: Sequence[str] | None = None,
    ) -> list[RowResult[Any]]:
        """Do ``create`` with many rows, the first of a repeated key; an outcome for each position.

        :param progress: called with how many rows are done, and of how many.

        The rows are taken in the order of their keys, so that two batches do not deadlock.
        """
        options = Options(index, _names(columns), _names(returning))
        flow = row_flows.many_rows("create", target(self._driver, table), rows, options, progress)
        return self._driver.drive(flow)

    def put_many(
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
        """Do ``put`` with many rows, the last of a repeated key; an outcome for each position.

        :param progress: called with how many rows are done, and of how many.

        The rows are taken in the order of their keys. A position that a later one overwrites is
        'unchanged' where both say the same, else 'stale'.
        """
        options = Options(index, _names(columns), _names(returning), version, replace=replace)
        flow = row_flows.many_rows("put", target(self._driver, table), rows, options, progress)
        return self._driver.drive(flow)
