"""Write the reference of SQL from the comments of an installed database, and that of Python from docstrings.

    python -m tools.reference [--check] [--dsn DSN]

Without a DSN an embedded PostgreSQL is started, and idemdb installed into it. With ``--check`` nothing is
written, and the exit code is 1 when a page is not current.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic.operations import Operations

import idemdb
from idemdb import testing
from idemdb.alembic import include_name
from idemdb.embedded import EmbeddedPostgres

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
_GENERATED = "<!-- Written by tools/reference.py; do not edit. -->"

# --- SQL

# The order of the contract: keys, rows, events, the outbox, the house. What is not named here comes last.
_ORDER = [
    *("claim", "complete", "execute", "fingerprint", "lookup", "checkpoint", "renew", "release"),
    *("process", "process_many", "process_failed", "process_offsets", "advance"),
    *("create", "put", "delete", "create_many", "put_many"),
    *("outbox_add", "outbox_take", "outbox_done", "outbox_retry", "dead_letter"),
    *("resolve", "forget", "sweep", "configure", "version"),
]

_FUNCTIONS = """
select p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    obj_description(p.oid, 'pg_proc'), case when p.prosecdef then 'owner' else 'caller' end,
    array(
        select r.rolname::text from aclexplode(p.proacl) as a join pg_roles as r on r.oid = a.grantee
        where starts_with(r.rolname, 'idemdb_') order by 1
    )
from pg_proc as p
where p.pronamespace = 'idemdb'::regnamespace and not starts_with(p.proname, '_')
order by array_position(%s::text[], p.proname::text), p.proname
"""
_RELATIONS = """
select c.relname, c.relkind, obj_description(c.oid, 'pg_class'), t.comment,
    array(
        select array[
            a.attname::text,
            format_type(a.atttypid, a.atttypmod),
            coalesce(col_description(c.oid, a.attnum), '')
        ]
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    )
from pg_class as c
cross join lateral (select obj_description(c.reltype, 'pg_type')) as t (comment)
where c.relnamespace = 'idemdb'::regnamespace and c.relkind in ('c', 'v', 'r')
order by c.relname
"""

_SQL_PAGE = f"""{_GENERATED}

# SQL reference

Every function is in the schema `idemdb`; always write the schema. Arguments go by position or by name. NULL
for an optional parameter means its default. An unknown option is `ID004`. The same texts are in the database:
`\\df+ idemdb.*`, `\\dT+ idemdb.*`.

Outcomes and errors in one place: [outcomes.md](outcomes.md). Calls from other languages:
[call from plain SQL](../how-to/call-from-plain-sql.md).

"""


def sql_page(connection: psycopg.Connection[Any]) -> str:
    """Return the reference of SQL.

    :param connection: to a database in which idemdb is installed, with its roles.
    """
    functions = connection.execute(_FUNCTIONS, [_ORDER]).fetchall()
    relations = connection.execute(_RELATIONS.encode()).fetchall()
    kinds = {
        kind: [_relation(*row) for row in relations if row[1] == letter] for kind, letter in _KINDS.items()
    }
    parts = ["## Functions", *(_function(*row) for row in functions)]
    for kind, items in kinds.items():
        parts += [f"## {kind}", *items]
    return _SQL_PAGE + "\n\n".join(parts) + "\n"


_KINDS = {"Result types": "c", "Views": "v", "Tables": "r"}
_TABLES_NOTE = "Only `idemdb_admin` may read it; only the functions write it."


def _function(
    name: str, arguments: str, result: str, comment: str, rights: str, callers: Sequence[str]
) -> str:
    """Return the section of one function."""
    signature = f"idemdb.{name}({arguments}) returns {result}"
    if len(signature) > 100:
        inner = ",\n    ".join(_split_arguments(arguments))
        signature = f"idemdb.{name}(\n    {inner}\n) returns {result}"
    granted = ", ".join(f"`{role}`" for role in callers)
    facts = f"Called by: {granted}. Runs with the rights of its {rights}."
    return f"### {name}\n\n```\n{signature}\n```\n\n{_prose(comment)}\n\n{facts}"


def _split_arguments(arguments: str) -> list[str]:
    """Split the arguments of a function at the commas between them."""
    return re.split(r", (?=p_)", arguments)


def _relation(name: str, kind: str, comment: str | None, type_comment: str | None, columns: Any) -> str:
    """Return the section of a type, a view or a table."""
    described = any(column[2] for column in columns)
    head = "| column | type | meaning |\n|---|---|---|" if described else "| column | type |\n|---|---|"
    rows = [
        f"| `{column}` | {type_} |" + (f" {about.replace('|', chr(92) + '|')} |" if described else "")
        for column, type_, about in columns
    ]
    text = _prose(comment or type_comment or "")
    note = f" {_TABLES_NOTE}" if kind == "r" else ""
    return f"### {name}\n\n{text}{note}\n\n" + "\n".join([head, *rows])


def _prose(comment: str) -> str:
    """Return a comment as Markdown: every line a paragraph, names as code."""
    paragraphs = [line for line in comment.splitlines() if line]
    text = "\n\n".join(paragraphs)
    text = re.sub(r"\b(p_\w+|ID\d{3}|\d{2}[0P]\d{2}|idemdb_\w+|[a-z_]+\(\))", r"`\1`", text)
    return re.sub(r"^(Outcomes|Errors|Returns|state):?", r"**\1**:", text, flags=re.MULTILINE)


# --- Python

_PYTHON_PAGE = f"""{_GENERATED}

# Python reference

`from idemdb import …` for everything up to "Alembic". `AsyncIdem` has the methods of `Idem`, with `await`;
its handlers and steps may be coroutine functions or plain ones, and it takes psycopg's AsyncConnection,
SQLAlchemy's AsyncConnection and AsyncSession, and asyncpg's Connection. They are described once.

`request`, `args`, `result`, `headers` and `data` take JSON-like values: None, bool, int, float, Decimal, str,
and lists, tuples and mappings of these. `Seconds` is a number of seconds or a timedelta; `Span` may also be
text such as `'30 days'`.

"""

_GROUPS: dict[str, list[str]] = {
    "Calls": [
        "Idem",
        "Op",
        "Event",
        "Consumer",
        "AsyncIdem",
        "AsyncOp",
        "AsyncConsumer",
        "retry",
        "aretry",
        "reread_tables",
    ],
    "Results": [
        *("Outcome", "Claim", "KeyRecord", "Processed", "EventResult", "Delivery", "OutboxResult"),
        *("OutboxMessage", "RowResult", "SweepResult", "OutcomeEvent", "Answer", "Fingerprint"),
    ],
    "Errors": [
        "IdemError",
        "KeyInProgress",
        "ParameterMismatch",
        "ClaimLost",
        "InvalidArgument",
        "SchemaMissing",
        "NoNaturalKey",
        "HiddenRow",
        "RowContended",
        "AlreadyClaimed",
        "AnswerExpired",
        "Unresolved",
    ],
}
_TWINS = {"AsyncIdem": "Idem", "AsyncOp": "Op", "AsyncConsumer": "Consumer"}


class _Plain(str):
    """An annotation that shows itself as it was written."""

    __slots__ = ()
    __repr__ = str.__str__


def python_page() -> str:
    """Return the reference of Python.

    :raises ValueError: when a public name has no place in it.
    """
    missing = set(idemdb.__all__) ^ {name for names in _GROUPS.values() for name in names}
    if missing:
        raise ValueError(f"no place in the reference, or no public name: {', '.join(sorted(missing))}")
    parts = []
    for group, names in _GROUPS.items():
        parts.append(f"## {group}")
        for name in names:
            parts += _object(name, getattr(idemdb, name))
    parts += ["## Alembic", *_alembic()]
    parts += ["## Tests: `idemdb.testing`", _doc(inspect.getdoc(testing))]
    parts += ["### Functions", *_section("age_key", testing.age_key, 4)]
    parts += _section("install_schema", testing.install_schema, 4)
    parts += ["### Fixtures", *_fixtures()]
    return _PYTHON_PAGE + "\n\n".join(parts) + "\n"


def _object(name: str, thing: Any) -> Iterator[str]:
    """Return the section of a class or a function, methods and properties included."""
    if not inspect.isclass(thing):
        yield from _section(name, thing, 3)
        return
    if name in _TWINS:
        yield f"### {name}\n\n`{_TWINS[name]}` with `await`."
        return
    yield f"### {name}\n\n{_doc(inspect.getdoc(thing))}"
    constructor = vars(thing).get("__init__")
    # Op is made by run; a dataclass says all in its fields.
    if name != "Op" and constructor is not None and not is_dataclass(thing):
        yield _code(name, constructor) + "\n\n" + _doc(inspect.getdoc(constructor))
    if name == "IdemError":
        yield _attributes()
    if is_dataclass(thing):
        yield "\n".join(["| field | type |", "|---|---|", *(_field(field) for field in fields(thing))])
    yield from _methods(name, thing)


def _attributes() -> str:
    """Return the table of what the classes of errors say of themselves."""
    rows = ["| error | `sqlstate` | `outcome` | `safe_new_key` |", "|---|---|---|---|"]
    for name in _GROUPS["Errors"][1:]:
        error = getattr(idemdb, name)
        rows.append(f"| `{name}` | {error.sqlstate or ''} | {error.outcome or ''} | {error.safe_new_key} |")
    return "\n".join(rows)


def _field(field: Any) -> str:
    kind = str(field.type).replace("|", r"\|")
    return f"| `{field.name}` | `{kind}` |"


def _methods(name: str, thing: type) -> Iterator[str]:
    """Describe methods and properties, those of bases inside idemdb included."""
    members: dict[str, Any] = {}
    for base in thing.__mro__:
        if base.__module__.startswith("idemdb"):
            members = members | {key: value for key, value in vars(base).items() if key not in members}
    members = {key: value for key, value in members.items() if not key.startswith("_")}
    owner = {"Idem": "idem", "Op": "op"}.get(name, name.lower())
    properties = [(key, value) for key, value in members.items() if isinstance(value, property)]
    if name == "Op":
        yield _OP_ATTRIBUTES
    if properties:
        rows = [f"| `{owner}.{key}` | {_doc(inspect.getdoc(value))} |" for key, value in properties]
        yield "\n".join(["| property | |", "|---|---|", *rows])
    for key, value in members.items():
        if inspect.isfunction(value) and (name != "Op" or key in ("step", "key_for")):
            yield from _section(f"{owner}.{key}", value, 4)


_OP_ATTRIBUTES = (
    "`op.connection` is the connection to work on; `op.scope` and `op.key` are what `run` was called with."
)


def _section(name: str, function: Callable[..., Any], level: int) -> Iterator[str]:
    """Return the section of one function."""
    yield f"{'#' * level} {name}\n\n{_code(name, function)}\n\n{_doc(inspect.getdoc(function))}"


def _code(name: str, function: Callable[..., Any]) -> str:
    """Return the signature of a function as a block of code."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=_plain(parameter.annotation))
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls", "operations")
    ]
    signature = signature.replace(
        parameters=parameters, return_annotation=_plain(signature.return_annotation)
    )
    line = f"{name}{signature}".removesuffix(" -> None")
    if len(line) > 100:
        result = str(signature).rpartition(")")[2].removesuffix(" -> None")
        shown = ",\n    ".join(str(part) for part in _stars(parameters))
        line = f"{name}(\n    {shown},\n){result}"
    return f"```\n{line}\n```"


def _stars(parameters: Sequence[inspect.Parameter]) -> Iterator[Any]:
    """Return the parameters with the star that makes those behind it keyword-only."""
    seen = False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not seen:
            seen = True
            yield "*"
        yield parameter


def _plain(annotation: Any) -> Any:
    return _Plain(annotation) if isinstance(annotation, str) else annotation


def _doc(text: str | None) -> str:
    """Return a docstring as Markdown: parameters and errors become lists."""
    lines = re.sub(r"\n +", " ", text or "").replace("``", "`").splitlines()
    lines = [re.sub(r"^:param (\w+): ", r"- `\1`: ", line) for line in lines]
    lines = [re.sub(r"^:raises ([\w, ]+): ", _raises, line) for line in lines]
    lines = [line.replace(":return: ", "- returns ", 1) for line in lines]
    parts: list[str] = []
    for line in lines:
        if line.startswith("- ") and parts and not parts[-1].startswith("- ") and parts[-1]:
            parts.append("")
        if not line.startswith("- ") and line and parts and parts[-1].startswith("- "):
            parts.append("")
        parts.append(line)
    return "\n".join(parts).strip().replace(":meth:", "").replace("\n\n\n", "\n\n")


def _raises(match: re.Match[str]) -> str:
    names = ", ".join(f"`{name}`" for name in match[1].split(", "))
    return f"- raises {names}: "


def _alembic() -> Iterator[str]:
    """Describe what Alembic's `op` gets, and the helper for autogenerate."""
    importlib.import_module("idemdb.alembic.operations")
    yield "Registered when Alembic starts, or by `import idemdb.alembic` in the revision."
    # Alembic moves the docstring of an operation to the method that it makes of it.
    for name in ("idemdb_upgrade", "idemdb_downgrade"):
        yield from _section(f"op.{name}", getattr(Operations, name), 3)
    yield from _section("idemdb.alembic.include_name", include_name, 3)


def _fixtures() -> Iterator[str]:
    """Describe the fixtures of pytest."""
    for name, value in vars(testing).items():
        if name.startswith("idemdb_"):
            yield f"`{name}`: {inspect.getdoc(value)}"


# --- both


@contextmanager
def _database(dsn: str | None) -> Iterator[psycopg.Connection[Any]]:
    """Connect to a database with idemdb."""
    if dsn:
        with psycopg.connect(dsn) as connection:
            yield connection
        return
    with EmbeddedPostgres() as server:
        testing.install_schema(server.dsn)
        with psycopg.connect(server.dsn) as connection:
            yield connection


def main() -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/reference/sql.md and python.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a page is not current")
    parser.add_argument("--dsn", help="a database in which idemdb is installed")
    given = parser.parse_args()
    with _database(given.dsn) as connection:
        pages = {"sql.md": sql_page(connection), "python.md": python_page()}
    old = 0
    for name, page in pages.items():
        file = REFERENCE / name
        if file.exists() and file.read_text() == page:
            continue
        old += 1
        print(f"{name}: {'is not current' if given.check else 'written'}")
        if not given.check:
            file.write_text(page)
    return 1 if given.check and old else 0


if __name__ == "__main__":
    sys.exit(main())
