"""The vectors of the row verbs (``tests/vectors``): read, made ready in a database, and compared.

Three doors run them: the SQL verbs, the typed helpers and Python. A case is a member of ``rows.json``:

========== ===================================================================================================
name       what it shows; begins with its group
table      as SQL writes it
before     statements that make the stored state
verb       create, put, delete, create_many, put_many
row        the argument, as JSON: ``row``, ``rows`` for the batches, ``key`` for delete
index      the natural key's index, where the call names it
options    of the call
expect     ``{"outcome", "record", "differs", "columns"}``, or ``{"items": [...]}`` of these for a batch, or
           ``{"error": SQLSTATE, "mentions": [texts of the message, detail or hint]}``. A list of outcomes or
           SQLSTATEs stands for any of them, where DESIGN leaves it open. ``record`` needs the members given,
           as JSON; ``columns`` are all that the record has. What is not given is not compared.
after      a query, and the rows that it must return then
doors      the doors that can express it, and ``why`` the others cannot; all of them where it is not given
========== ===================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

VECTORS = Path(__file__).parents[1] / "vectors"
DOORS = ("sql", "helper", "python")
_ARGUMENTS = {"create": "row", "put": "row", "delete": "key", "create_many": "rows", "put_many": "rows"}
_MEMBERS = {
    "name",
    "table",
    "before",
    "verb",
    "row",
    "rows",
    "key",
    "index",
    "options",
    "expect",
    "after",
} | {
    "doors",
    "why",
}


@dataclass(frozen=True)
class RowCase:
    """One case; ``argument`` is the row, the rows or the key."""

    name: str
    table: str
    verb: str
    argument: Any
    expect: Mapping[str, Any]
    before: Sequence[str] = ()
    index: str | None = None
    options: Any = None
    after: Mapping[str, Any] | None = None
    doors: Sequence[str] = DOORS
    why: str = ""

    @property
    def is_batch(self) -> bool:
        """Tell whether the verb takes rows."""
        return self.verb.endswith("_many")

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of the argument, one for the single verbs."""
        return list(self.argument) if self.is_batch else [self.argument]

    @property
    def columns(self) -> list[str]:
        """The names of the argument's columns, in order: those of its first row (a batch may be empty)."""
        return list(self.rows[0]) if self.rows else []

    @property
    def sqlstates(self) -> list[str]:
        """The SQLSTATEs that may be raised; none where the call succeeds."""
        found = self.expect.get("error", [])
        return [found] if isinstance(found, str) else list(found)


@dataclass(frozen=True)
class Answer:
    """What a door answered for one row.

    :param record: values as the door gives them; :func:`as_json` makes them comparable.
    """

    outcome: str
    record: Mapping[str, Any] | None
    differs: Sequence[str] | None = field(default=None)


@cache
def every_case() -> tuple[RowCase, ...]:
    """Read the vectors.

    :raises ValueError: for a case that is not well formed.
    """
    found = []
    for raw in json.loads((VECTORS / "rows.json").read_text(encoding="utf-8")):
        argument = _ARGUMENTS[raw["verb"]]
        if unknown := set(raw) - _MEMBERS:
            raise ValueError(f"{raw['name']}: unknown members {unknown}")
        if argument not in raw or ("doors" in raw) != ("why" in raw):
            raise ValueError(f"{raw['name']}: {argument} is missing, or doors without why")
        rest = {name: value for name, value in raw.items() if name not in _ARGUMENTS.values()}
        found.append(RowCase(argument=raw[argument], **rest))
    return tuple(found)


def cases(door: str) -> dict[str, RowCase]:
    """Return the cases that a door can express, by name: parametrise by it."""
    assert door in DOORS
    return {case.name: case for case in every_case() if door in case.doors}


def make_tables(connection: psycopg.Connection[Any]) -> None:
    """Create the schema ``shop`` with the tables of the cases: once for a database, or for a transaction."""
    connection.execute((VECTORS / "rows.sql").read_bytes())


def make_state(connection: psycopg.Connection[Any], case: RowCase) -> None:
    """Make the stored state of a case, in the caller's transaction."""
    connection.execute("set local time zone 'UTC'")
    for statement in case.before:
        connection.execute(statement.encode())


def check_answers(case: RowCase, answers: Sequence[Answer]) -> None:
    """Compare what a door answered, in the order of the items.

    :raises AssertionError: that says what is wrong.
    """
    assert not case.sqlstates, f"{answers} instead of {case.sqlstates}"
    wanted = case.expect["items"] if case.is_batch else [case.expect]
    assert len(answers) == len(wanted), answers
    for item, (answer, expect) in enumerate(zip(answers, wanted, strict=True), 1):
        _check_answer(f"item {item}: {answer}", answer, expect)


def check_error(case: RowCase, sqlstate: str | None, text: str, hint: str | None) -> None:
    """Compare an error: idemdb's own have a hint and mention what the case says.

    :param text: message and detail.
    :raises AssertionError: that says what is wrong.
    """
    assert case.sqlstates, f"{sqlstate} {text}"
    assert sqlstate in case.sqlstates, f"{sqlstate} {text}"
    if sqlstate.startswith("ID"):
        assert hint, f"{text} has no hint"
        for mentioned in case.expect.get("mentions", ()):
            assert mentioned in f"{text} {hint}"


def check_after(connection: psycopg.Connection[Any], case: RowCase) -> None:
    """Compare the stored state at the end, in the caller's transaction.

    :raises AssertionError: that says what is wrong.
    """
    if case.after:
        found = connection.execute(case.after["query"].encode()).fetchall()
        assert [[as_json(value) for value in row] for row in found] == case.after["result"]


def column_types(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """Return the type of each column as SQL writes it, by name; a domain's is the type below it."""
    query = """
        select a.attname, pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), a.atttypmod)
        from pg_catalog.pg_attribute as a
        join pg_catalog.pg_type as t on t.oid = a.atttypid
        where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    """
    return dict(connection.execute(query, [table]).fetchall())


def as_python(value: Any, sql_type: str) -> Any:
    """Turn a JSON value of a case into what a Python program holds for that type (see :func:`column_types`).

    Ranges, enums and arrays stay as they are in JSON.
    """
    if value is None or sql_type in {"json", "jsonb"}:
        return value
    if sql_type.startswith("numeric"):
        return Decimal(str(value))
    makers: dict[str, Callable[[str], Any]] = {
        "timestamp with time zone": datetime.fromisoformat,
        "date": date.fromisoformat,
        "uuid": UUID,
        "bytea": lambda text: bytes.fromhex(text.removeprefix("\\x")),
    }
    make = makers.get(sql_type)
    return make(value) if make else value


def as_json(value: Any) -> Any:
    """Turn a value of Python into the JSON value that a case has for it, times in UTC."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {name: as_json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(member) for member in value]
    if hasattr(value, "lower_inc") and hasattr(value, "upper_inc"):  # psycopg's and SQLAlchemy's Range
        return _range(value)
    return value


def _range(value: Any) -> str:
    if getattr(value, "isempty", False) or getattr(value, "empty", False):
        return "empty"
    lower, upper = ("" if end is None else as_json(end) for end in (value.lower, value.upper))
    return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"


def _check_answer(what: str, answer: Answer, expect: Mapping[str, Any]) -> None:
    outcomes = expect["outcome"]
    assert answer.outcome in ([outcomes] if isinstance(outcomes, str) else outcomes), what
    assert answer.differs is not None, what
    assert len(set(answer.differs)) == len(answer.differs), what
    if "differs" in expect:
        assert sorted(answer.differs) == sorted(expect["differs"]), what
    record = as_json(answer.record)
    if "columns" in expect:
        assert sorted(record) == sorted(expect["columns"]), what
    if expect.get("record", ...) is None:
        assert record is None, what
    for name, wanted in (expect.get("record") or {}).items():
        assert record is not None, what
        assert record[name] == wanted, f"{name} is {record[name]!r}, not {wanted!r}: {what}"
        assert isinstance(record[name], bool) == isinstance(wanted, bool), what
