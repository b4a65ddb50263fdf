"""The tables of callers: SQLAlchemy's tables, ORM classes and names, and how their values travel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.orm import Mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from idemdb.calls.catalogue import Described, quote
from idemdb.calls.rows import Plan, Types
from idemdb.errors import InvalidArgument

_Known = dict[Any, Described]
_BY_DIALECT: WeakKeyDictionary[Any, dict[Any, _Known]] = WeakKeyDictionary()
# The drivers that are used without SQLAlchemy.
PLAIN: dict[str, Any] = {
    "psycopg": psycopg_dialect(),  # type: ignore[no-untyped-call]
    "asyncpg": asyncpg_dialect(),  # type: ignore[no-untyped-call]
}
_MOST = 1000
_NAMED_TYPES: dict[str, Any] = {
    "json": postgresql.JSON(),
    "jsonb": postgresql.JSONB(),
    "uuid": postgresql.UUID(),
}


def reread_tables() -> None:
    """Read the definitions of tables again at their next use: after a migration in a running process."""
    _BY_DIALECT.clear()


class Target:
    """A table as the caller named it, over one connection."""

    def __init__(self, table: Any, dialect: Any, database: Any, session: Any) -> None:
        """Find out what was given.

        :param table: a Table, an ORM class, or a name as SQL writes it.
        :param database: tells databases of one dialect apart.
        :param session: SQLAlchemy's Session, None without one.
        """
        self.dialect = dialect
        self.session = session
        self._table = table
        self.mapper: Mapper[Any] | None = None
        self._keys: dict[str, str] = {}
        self._names: dict[str, str] = {}
        if isinstance(table, str):
            self.name, self.columns = table, None
        else:
            self.name, self.mapper, self.columns, self._keys, self._names = _declared(table)
        self._database = database

    def _space(self) -> _Known:
        space = _BY_DIALECT.setdefault(self.dialect, {})
        return space.setdefault(self._database, {})

    def known(self) -> Described | None:
        """Return what is known of the table."""
        return self._space().get(self._table)

    def learn(self, described: Described) -> None:
        """Remember what the catalogue says."""
        space = self._space()
        if len(space) >= _MOST:
            space.clear()
        space[self._table] = described

    def forget(self) -> None:
        """Read the catalogue again at the next use."""
        self._space().pop(self._table, None)

    def named(self, values: Mapping[Any, Any]) -> Mapping[str, Any]:
        """Return the values by the names of their columns."""
        if self.columns is None:
            return values
        try:
            return {self._names[getattr(key, "key", key)]: value for key, value in values.items()}
        except KeyError as error:
            raise InvalidArgument(
                f"table {self.name} has no column {error}",
                hint="leave it out, or correct its name; for an ORM class give the attributes' names",
            ) from error

    def key(self, name: str) -> str:
        """Return what the caller calls a column."""
        return self._keys.get(name, name)

    def record(self, values: dict[str, Any]) -> Any:
        """Return the record: an ORM class's instance with a Session, else values by name."""
        if self.mapper is not None and self.session is not None:
            return _instance(self.mapper, self.session, values)
        return {self._keys.get(name, name): value for name, value in values.items()} if self._keys else values

    def deleted(self, plan: Plan, row: Any) -> None:
        """Let the Session know of a row that is gone."""
        if self.mapper is None or self.session is None or plan.tombstone is not None:
            return
        values = {name: value for (name, _), value in zip(plan.record, row[1:], strict=False)}
        primary = [values.get(column.name) for column in self.mapper.primary_key]
        found = self.session.identity_map.get(self.mapper.identity_key_from_primary_key(tuple(primary)))
        if found is not None:
            self.session.expire(found)


@lru_cache(maxsize=_MOST)
def _declared(table: Any) -> tuple[str, Any, Any, dict[str, str], dict[str, str]]:
    """Return the name, mapper, columns, callers' names by column, and columns by callers' names."""
    mapper = None
    if not isinstance(table, Table):
        mapper = inspect(table, raiseerr=False)
        if not isinstance(mapper, Mapper) or not isinstance(mapper.local_table, Table):
            raise InvalidArgument(
                f"{table!r} is no table", hint="give a Table, an ORM class, or a name as SQL writes it"
            )
        if len(mapper.tables) != 1:
            raise InvalidArgument(
                f"{table.__name__} has several tables", hint="give one of its tables instead"
            )
        attributes = {
            prop.columns[0].name: prop.key
            for prop in mapper.column_attrs
            if prop.columns[0].table is not None
        }
        table = mapper.local_table
    else:
        attributes = {column.name: column.key for column in table.columns}
    name = ".".join(quote(part) for part in (table.schema, table.name) if part)
    return name, mapper, table.columns, attributes, {key: column for column, key in attributes.items()}


def _instance(mapper: Mapper[Any], session: Any, values: dict[str, Any]) -> Any:
    """Return the instance of a row in the Session's identity map, with what the row holds now."""
    primary = tuple(values[column.name] for column in mapper.primary_key)
    if mapper.polymorphic_on is not None:
        mapper = mapper.polymorphic_map.get(values.get(mapper.polymorphic_on.name), mapper)
    found = session.identity_map.get(mapper.identity_key_from_primary_key(primary))
    new = found is None
    if new:
        found = mapper.class_manager.new_instance()
    else:
        session.expire(found)
    for prop in mapper.column_attrs:
        if prop.columns[0].name in values:
            set_committed_value(found, prop.key, values[prop.columns[0].name])
    if new:
        make_transient_to_detached(found)
        session.add(found)
    return found


def types_of(target: Target, table: Described) -> Types:
    """Return how the values of a table travel over the target's driver."""
    bind: dict[str, Any] = {}
    read: dict[str, Any] = {}
    declared = {column.name: column for column in target.columns} if target.columns is not None else {}
    bare = target.dialect is PLAIN["asyncpg"]
    as_text = {name for name, field in table.fields.items() if bare and field.base in ("json", "jsonb")}
    for name, field in table.fields.items():
        kind = declared[name].type if name in declared else _NAMED_TYPES.get(field.base)
        if kind is None:
            continue
        kind = kind.dialect_impl(target.dialect)
        bind[name] = kind.bind_processor(target.dialect)
        read[name] = kind.result_processor(target.dialect, field.oid)
        if name in as_text:
            bind[name], read[name] = bind[name] or json.dumps, _decoded(read[name])
        if field.base in ("json", "jsonb") and bind[name] is not None:
            bind[name] = _unless_null(bind[name])
    return Types(
        bind,
        read,
        frozenset(as_text),
        _defaults({name: column.default for name, column in declared.items()}),
        _defaults({name: column.onupdate for name, column in declared.items()}),
    )


def _unless_null(bind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let None be SQL's null, where SQLAlchemy would make the JSON value null of it."""
    return lambda value: None if value is None else bind(value)


def _decoded(read: Any) -> Callable[[Any], Any]:
    """Return what reads JSON text; asyncpg's own processor leaves that to a codec of the connection."""
    return read or json.loads


def _defaults(found: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return what makes the values of Python's own defaults."""
    made: dict[str, Callable[[], Any]] = {}
    for name, default in found.items():
        if default is None or getattr(default, "is_clause_element", False) or default.is_sequence:
            continue
        if default.is_callable:
            made[name] = partial(default.arg, None)
        elif default.is_scalar:
            made[name] = partial(getattr, default, "arg")
    return made
