"""Make, renew, find and drop typed row helpers in a database.

Everything here takes a `Database`, which is any connection: psycopg's in `of_psycopg`, SQLAlchemy's in
`of_sqlalchemy`. Nothing is committed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Connection, text

from idemdb import helper_catalogue as catalogue
from idemdb.errors import IdemError, InvalidArgument
from idemdb.helper_parts import literal, quoted
from idemdb.helper_sql import MARK, VERBS, Helper, name, render

_PARAMETER = re.compile(r"(?<!:):([a-z]+)")

_INSTALLED = """\
select n.nspname as schema, p.proname as name, cast(p.oid as pg_catalog.int8) as oid,
    pg_catalog.pg_get_function_identity_arguments(p.oid) as arguments,
    pg_catalog.oidvectortypes(p.proargtypes) as types,
    pg_catalog.obj_description(p.oid, 'pg_proc') as comment
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_description as d
    on d.objoid = p.oid and d.classoid = cast('pg_catalog.pg_proc' as pg_catalog.regclass) and d.objsubid = 0
where pg_catalog.strpos(d.description, cast(:mark as pg_catalog.text)) > 0
order by n.nspname, p.proname"""

_NAMED = """\
select cast(p.oid as pg_catalog.int8) as oid, pg_catalog.obj_description(p.oid, 'pg_proc') as comment,
    cast(cast(p.oid as pg_catalog.regprocedure) as pg_catalog.text) as signature, pg_catalog.format(
        '%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)
    ) as identity
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = cast(:schema as pg_catalog.text) and p.proname = cast(:name as pg_catalog.text)"""

_GRANTED = """\
select r.rolname as role, a.is_grantable as passes
from pg_catalog.pg_proc as p
cross join lateral pg_catalog.aclexplode(p.proacl) as a
join pg_catalog.pg_roles as r on r.oid = a.grantee
where p.oid = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid) and a.grantee <> p.proowner
order by r.rolname"""

_SAME = """\
select cast(pg_catalog.to_regprocedure(cast(:signature as pg_catalog.text)) as pg_catalog.oid)
    = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid) as same"""


class Database(Protocol):
    """A connection to read from and to change."""

    def rows(self, query: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query with parameters as ``:name``."""

    def execute(self, statement: str) -> None:
        """Run a statement without parameters."""


@dataclass(frozen=True)
class _Psycopg:
    connection: psycopg.Connection[Any]

    def rows(self, query: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        asked = _PARAMETER.sub(r"%(\1)s", query.replace("%", "%%")) if parameters else query
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(asked.encode(), parameters or None).fetchall()

    def execute(self, statement: str) -> None:
        self.connection.execute(statement.encode())


@dataclass(frozen=True)
class _Alchemy:
    connection: Connection

    def rows(self, query: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in self.connection.execute(text(query), parameters).mappings()]

    def execute(self, statement: str) -> None:
        self.connection.execute(text(statement.replace(":", r"\:")))


def of_psycopg(connection: psycopg.Connection[Any]) -> Database:
    """Return a connection of psycopg as a database."""
    return _Psycopg(connection)


def of_sqlalchemy(connection: Connection) -> Database:
    """Return a connection of SQLAlchemy, with any driver, as a database."""
    return _Alchemy(connection)


@dataclass(frozen=True)
class Installed:
    """A helper that is in the database, as its comment says.

    :param schema: of the function and of its table.
    :param name: of the function.
    :param types: of its parameters, as PostgreSQL shows them.
    :param table: that it was made for.
    :param key: the natural key.
    :param verb: what it does.
    :param columns: that were chosen; None for the usual ones.
    :param digest: of what it was made from.
    """

    schema: str
    name: str
    types: str
    table: str
    key: str
    verb: str
    columns: tuple[str, ...] | None
    digest: str


@dataclass(frozen=True)
class Stale:
    """A helper that no longer fits its table.

    :param helper: in the database.
    :param renewed: what would take its place; None where it cannot be made any more.
    :param why: a sentence.
    """

    helper: Installed
    renewed: Helper | None
    why: str


def installed(database: Database, *, schema: str | None = None, table: str | None = None) -> list[Installed]:
    """Return the helpers that are in the database, by schema and name.

    :param database: to look into.
    :param schema: only those in it.
    :param table: only those of tables of that name.
    """
    found = []
    for row in database.rows(_INSTALLED, mark=MARK):
        facts = _facts(row["comment"])
        if facts is None or schema not in (None, row["schema"]) or table not in (None, facts["table"]):
            continue
        columns = None if facts["columns"] is None else tuple(facts["columns"])
        found.append(Installed(row["schema"], row["name"], row["types"], **{**facts, "columns": columns}))
    return found


def _facts(comment: str | None) -> dict[str, Any] | None:
    """Read the last line of a comment; None where it is not a helper's."""
    _, mark, told = (comment or "").rpartition(f"\n{MARK}")
    if not mark:
        return None
    try:
        facts = json.loads(told)
        return {fact: facts[fact] for fact in ("table", "key", "verb", "columns", "digest")}
    except (ValueError, KeyError, TypeError):
        return None


def plan(
    database: Database,
    table: str,
    natural_key: str,
    verbs: Iterable[str] = VERBS,
    *,
    schema: str | None = None,
    columns: Sequence[str] | None = None,
) -> list[Helper]:
    """Return the helpers as they would be made now.

    :param database: where the table is.
    :param table: its name, without schema.
    :param natural_key: the name of a unique index or constraint of it.
    :param verbs: what the helpers do.
    :param schema: of the table; else it is found by ``search_path``.
    :param columns: what they take beside the key; else all without default, identity or generation.
    :raises InvalidArgument: ID004 for a table, verb or column that does not do.
    :raises NoNaturalKey: ID006 for an index that does not do.
    """
    wanted = tuple(dict.fromkeys(verbs))
    if not wanted:
        raise InvalidArgument("no verbs are given", hint=f"Verbs are {', '.join(VERBS)}.")
    for verb in wanted:
        if verb not in VERBS:
            raise InvalidArgument(f"there is no verb {verb}", hint=f"Verbs are {', '.join(VERBS)}.")
    shape = catalogue.describe(database, table, natural_key, schema)
    return [render(*shape, verb, columns) for verb in wanted]  # type: ignore[arg-type]


def statements(database: Database, helpers: Iterable[Helper]) -> list[str]:
    """Return the statements that make helpers or renew them; rights that were granted are kept.

    :param database: where they are to be.
    :param helpers: from `plan`.
    :raises InvalidArgument: when another function has the name.
    """
    made = []
    for helper in helpers:
        after = list(helper.statements())
        for row in database.rows(_NAMED, schema=helper.schema, name=helper.name):
            if _facts(row["comment"]) is None:
                raise InvalidArgument(
                    f"there is a function {row['signature']} already, which is no helper",
                    hint="Rename it, or give the index another name: the helper is called after it.",
                )
            if not database.rows(_SAME, signature=helper.signature, oid=row["oid"])[0]["same"]:
                made.append(f"drop function {row['identity']}")
                after += [
                    f"grant execute on function {helper.signature} to {quoted(grant['role'])}"
                    + (" with grant option" if grant["passes"] else "")
                    for grant in database.rows(_GRANTED, oid=row["oid"])
                ]
        made += after
    return made


def create(
    database: Database,
    table: str,
    natural_key: str,
    verbs: Iterable[str] = VERBS,
    *,
    schema: str | None = None,
    columns: Sequence[str] | None = None,
) -> list[Helper]:
    """Make helpers, or renew them; parameters and errors are those of `plan`.

    Whoever could execute a helper before still can.
    """
    helpers = plan(database, table, natural_key, verbs, schema=schema, columns=columns)
    for statement in statements(database, helpers):
        database.execute(statement)
    return helpers


def drop_statements(
    table: str, natural_key: str, verbs: Iterable[str] = VERBS, *, schema: str | None = None
) -> list[str]:
    """Return the statements that drop helpers where they are there; no database is needed.

    :param table: as for `plan`.
    :param natural_key: as for `plan`; the index need not exist any more.
    :param verbs: of the helpers.
    :param schema: of the table; without it the helpers are found by ``search_path``.
    """
    where = f"{quoted(schema)}." if schema else ""
    made = []
    for verb in verbs:
        if verb not in VERBS:
            raise InvalidArgument(f"there is no verb {verb}", hint=f"Verbs are {', '.join(VERBS)}.")
        function = f"{where}{quoted(name(table, verb, natural_key))}"
        # Not a function of somebody else's that has the name.
        made.append(
            f"do $idemdb_drop$\ndeclare\n    v_function pg_catalog.regprocedure;\nbegin\n"
            f"    for v_function in\n"
            f"        select p.oid from pg_catalog.pg_proc as p\n"
            f"        where p.oid = pg_catalog.to_regproc({literal(function)})\n"
            f"            and pg_catalog.strpos("
            f"pg_catalog.obj_description(p.oid, 'pg_proc'), {literal(MARK)}) > 0\n"
            f"    loop\n"
            f"        execute pg_catalog.format('drop function %s', v_function);\n"
            f"    end loop;\nend\n$idemdb_drop$"
        )
    return made


def drop(
    database: Database,
    table: str,
    natural_key: str,
    verbs: Iterable[str] = VERBS,
    *,
    schema: str | None = None,
) -> list[str]:
    """Drop helpers where they are there, and return the names of those that were.

    :param database: where they are.
    :param table: as for `plan`.
    :param natural_key: as for `plan`; neither table nor index need exist any more.
    :param verbs: of the helpers.
    :param schema: of the table.
    """
    before = {(helper.schema, helper.name) for helper in installed(database)}
    for statement in drop_statements(table, natural_key, verbs, schema=schema):
        database.execute(statement)
    after = {(helper.schema, helper.name) for helper in installed(database)}
    return [f"{where}.{gone}" for where, gone in sorted(before - after)]


def stale(database: Database) -> list[Stale]:
    """Return the helpers that are not what would be made now, by schema and name.

    :param database: to look into.
    """
    found = []
    for helper in installed(database):
        try:
            (now,) = plan(
                database,
                helper.table,
                helper.key,
                [helper.verb],
                schema=helper.schema,
                columns=helper.columns,
            )
        except IdemError as error:
            found.append(Stale(helper, None, error.message))
        else:
            if now.name != helper.name:
                found.append(Stale(helper, None, "it was renamed"))
            elif now.digest != helper.digest:
                why = f"{helper.table} or {helper.key} has changed since, or idemdb writes it otherwise now"
                found.append(Stale(helper, now, why))
    return found
