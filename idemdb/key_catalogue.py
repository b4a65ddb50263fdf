"""Read tables and unique indexes from PostgreSQL's catalogue, and compare them with natural keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from idemdb.errors import InvalidArgument
from idemdb.natural_key import KeyDescription, quote_name, read_comment

_TABLE = """\
select c.oid, n.nspname, c.relname, c.relkind::text
from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.oid = pg_catalog.to_regclass(cast(:name as text))"""

_COLUMNS = """\
select a.attname, pg_catalog.format_type(a.atttypid, null)
from pg_catalog.pg_attribute as a
where a.attrelid = :table and a.attnum > 0 and not a.attisdropped"""

_INDEXES = """\
select
    i.indexrelid, n.nspname, t.relname, c.relname, i.indisvalid, i.indisunique, i.indimmediate,
    i.indnullsnotdistinct,
    array(
        select pg_catalog.pg_get_indexdef(i.indexrelid, k.n, false)
        from pg_catalog.generate_series(1, i.indnkeyatts) as k (n) order by k.n
    ),
    pg_catalog.pg_get_expr(i.indpred, i.indrelid),
    array(
        select a.attname::text from pg_catalog.generate_series(0, i.indnkeyatts - 1) as k (n)
        join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n] order by k.n
    ),
    pg_catalog.obj_description(i.indexrelid, 'pg_class'),
    exists (
        select from pg_catalog.pg_constraint as o
        where o.conindid = i.indexrelid and o.contype in ('p', 'u', 'x')
    ),
    pg_catalog.pg_get_indexdef(i.indexrelid)
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indexrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
join pg_catalog.pg_class as t on t.oid = i.indrelid
where {condition}
order by c.relname"""

_PARTITIONS = """\
select c.oid, n.nspname, c.relname, c.relkind::text
from pg_catalog.pg_inherits as h
join pg_catalog.pg_class as c on c.oid = h.inhrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where h.inhparent = :table
order by 2, 3"""

_ATTACHED = """\
select i.indexrelid
from pg_catalog.pg_index as i join pg_catalog.pg_inherits as h on h.inhrelid = i.indexrelid
where i.indrelid = :table and h.inhparent = :index"""

_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
}
_STAMPS = ("timestamp with time zone", "timestamp without time zone")


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table as the catalogue has it.

    :param kind: ``r``, an ordinary one; ``p``, a partitioned one; ``f``, a foreign one.
    """

    oid: int
    schema: str
    name: str
    kind: str

    @property
    def qualified(self) -> str:
        """Return its quoted name."""
        return f"{quote_name(self.schema)}.{quote_name(self.name)}"


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """An index as the catalogue has it.

    :param elements: the SQL of its key columns and expressions.
    :param predicate: of a partial index.
    :param plain: the names of the elements that are columns.
    :param comment: its COMMENT.
    :param of_constraint: whether a constraint owns it.
    :param definition: the statement that makes it again.
    """

    oid: int
    schema: str
    table: str
    name: str
    valid: bool
    unique: bool
    immediate: bool
    nulls_not_distinct: bool
    elements: tuple[str, ...]
    predicate: str | None
    plain: tuple[str, ...]
    comment: str | None
    of_constraint: bool
    definition: str

    @property
    def facts(self) -> dict[str, object] | None:
        """Return what its COMMENT says about the natural key, None where it is none."""
        return read_comment(self.comment)


def sql(statement: str) -> Any:
    """Return literal SQL for SQLAlchemy, with no colon taken for a parameter."""
    return text(statement.replace(":", r"\:"))


def find_table(connection: Connection, schema: str | None, name: str) -> LiveTable | None:
    """Return a table by its name, with a schema or by the search path; None where there is none."""
    quoted = quote_name(name) if schema is None else f"{quote_name(schema)}.{quote_name(name)}"
    row = connection.execute(text(_TABLE), {"name": quoted}).fetchone()
    return LiveTable(*row) if row else None


def table_of(connection: Connection, key: KeyDescription) -> LiveTable:
    """Return the table of a natural key.

    :raises InvalidArgument: where it is missing, or no table.
    """
    table = find_table(connection, key.schema, key.table)
    if table is None:
        raise InvalidArgument(
            f"there is no table {key.qualified_table}", hint="check its name, its schema and the search path"
        )
    if table.kind not in ("r", "p"):
        raise InvalidArgument(
            f"{table.qualified} is {_KINDS.get(table.kind, 'no table')}",
            hint="a natural key belongs to a table",
        )
    return table


def partitions_of(connection: Connection, table: LiveTable) -> list[LiveTable]:
    """Return the partitions of a partitioned table, not those of its partitions."""
    return [LiveTable(*row) for row in connection.execute(text(_PARTITIONS), {"table": table.oid})]


def attached_index(connection: Connection, partition: LiveTable, parent: LiveIndex) -> LiveIndex | None:
    """Return the index of a partition that is attached to one of its parent."""
    found = connection.execute(text(_ATTACHED), {"table": partition.oid, "index": parent.oid}).scalar()
    if found is None:
        return None
    (index,) = _indexes(connection, "i.indexrelid = :index", index=found)
    return index


def find_index(connection: Connection, schema: str, name: str) -> LiveIndex | None:
    """Return an index by its name."""
    found = _indexes(connection, "n.nspname = :schema and c.relname = :name", schema=schema, name=name)
    return found[0] if found else None


def indexes_of(connection: Connection, table: LiveTable) -> list[LiveIndex]:
    """Return all indexes of a table."""
    return _indexes(connection, "i.indrelid = :table", table=table.oid)


def _indexes(connection: Connection, condition: str, **values: Any) -> list[LiveIndex]:
    found = connection.execute(text(_INDEXES.format(condition=condition)), values)
    rows: list[Any] = [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found]
    return [LiveIndex(*row) for row in rows]


def check_columns(connection: Connection, table: LiveTable, key: KeyDescription) -> None:
    """Refuse a natural key that its table's columns cannot carry.

    :raises InvalidArgument: with a hint.
    """
    rows = connection.execute(text(_COLUMNS), {"table": table.oid})
    types: dict[str, str] = {row[0]: row[1] for row in rows}
    tombstone = () if key.tombstone is None else (key.tombstone,)
    missing = [column for column in (*key.columns, *tombstone) if column not in types]
    if missing:
        raise InvalidArgument(
            f"table {table.qualified} has no column {', '.join(missing)}",
            hint=f"it has {', '.join(types)}; a key that stands under a name of its own is named with name=",
        )
    if key.tombstone is not None and types[key.tombstone] != "timestamp with time zone":
        raise InvalidArgument(
            f"the tombstone {key.tombstone} is of type {types[key.tombstone]}",
            hint="it must be a timestamptz",
        )
    for part in key.parts:
        kind = types[part.column]
        if (
            key.template == "digest"
            and not part.is_column
            and (kind == "bytea") != part.written.endswith("bytea")
        ):
            raise InvalidArgument(
                f"the payload {part.column} is of type {kind}",
                hint=f"write {part.column}:bytea for bytes and {part.column} for everything else: the text "
                "of bytes depends on the setting bytea_output",
            )
        if key.template == "time-window" and not part.is_column and kind not in _STAMPS:
            raise InvalidArgument(
                f"the column {part.column} of the window is of type {kind}",
                hint="a window needs a timestamptz or a timestamp",
            )


def differences(connection: Connection, table: LiveTable, key: KeyDescription, live: LiveIndex) -> list[str]:
    """Say in which way an index is not the one that a natural key describes; nothing where it is.

    PostgreSQL itself writes both in one form: what EXPLAIN shows. Comments are not compared.

    :raises DBAPIError: where the description names what the table does not have; in a transaction, call it
        within a savepoint.
    """
    found = []
    if not live.unique:
        found.append("it is not unique")
    if not live.immediate:
        found.append("its constraint is deferrable")
    if live.nulls_not_distinct != key.nulls_not_distinct:
        found.append("NULLs are " + ("not distinct" if live.nulls_not_distinct else "distinct"))
    wanted = list(key.elements)
    if len(live.elements) != len(wanted):
        return [*found, f"it is on {', '.join(live.elements)}"]
    forms = _forms(
        connection, table, [*wanted, *live.elements, key.predicate or "true", live.predicate or "true"]
    )
    if forms[: len(wanted)] != forms[len(wanted) : -2]:
        found.append(f"it is on {', '.join(live.elements)}")
    if forms[-2] != forms[-1]:
        found.append(f"its predicate is {live.predicate}" if live.predicate else "it has no predicate")
    return found


def _forms(connection: Connection, table: LiveTable, expressions: Sequence[str]) -> list[str]:
    items = ", ".join(f"({expression})" for expression in expressions)
    explain = (
        f"explain (verbose, costs off, format json) select {items} from only {table.qualified} where false"
    )
    plan = connection.execute(sql(explain)).scalar_one()
    if isinstance(plan, str):
        plan = json.loads(plan)
    forms: list[str] = plan[0]["Plan"]["Output"]
    return forms
