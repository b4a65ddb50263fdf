"""The typed helpers answer the cases of the vectors as the other doors do."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from idemdb import row_helpers
from idemdb.errors import IdemError
from idemdb.helper_sql import Helper
from tests.support.row_vectors import (
    Answer,
    RowCase,
    cases,
    check_after,
    check_answers,
    check_error,
    column_types,
    make_state,
)

CASES = cases("helper")


def natural_key(connection: psycopg.Connection[Any], case: RowCase, schema: str, table: str) -> str:
    """Return the index that the call is for: the one named, else the one whose columns are given."""
    if case.index:
        return case.index
    found: list[str] = []
    rows = connection.execute(
        "select c.relname from pg_index as i join pg_class as c on c.oid = i.indexrelid"
        " where i.indrelid = %s::text::regclass and i.indisunique order by 1",
        [case.table],
    ).fetchall()
    for (index,) in rows:
        helper = row_helpers.plan(
            row_helpers.of_psycopg(connection), table, index, ["delete"], schema=schema
        )[0]
        keys = {argument.removeprefix("p_") for argument, _ in named(helper)}
        given = set(case.columns)
        if keys == given if case.verb == "delete" else keys <= given or not given:
            found.append(index)
    return found[-1]


def named(helper: Helper) -> list[tuple[str, str]]:
    return [(a.strip('"').replace('""', '"'), type_) for a, type_ in helper.arguments]


def as_text(value: Any, sql_type: str) -> str | None:
    """Return a value of JSON as the text that PostgreSQL reads."""
    if sql_type in ("json", "jsonb"):
        return None if value is None else json.dumps(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "{" + ",".join("NULL" if v is None else json.dumps(v) for v in value) + "}"
    return json.dumps(value)


def call(connection: psycopg.Connection[Any], case: RowCase) -> list[Answer]:
    """Make the helper that the case needs, and call it as any client would."""
    schema, _, table = case.table.partition(".")
    table = table.strip('"').replace('""', '"')
    types = column_types(connection, case.table)
    index = natural_key(connection, case, schema, table)
    (helper,) = row_helpers.create(
        row_helpers.of_psycopg(connection),
        table,
        index,
        [case.verb],
        schema=schema,
        columns=None if case.verb == "delete" or not case.rows else case.columns,
    )
    arguments = [(name.removeprefix("p_"), type_) for name, type_ in named(helper)]
    if case.is_batch:
        values: list[Any] = [[as_text(row[name], types[name]) for row in case.rows] for name, _ in arguments]
        marks = ", ".join(f"%s::text[]::{type_}" for _, type_ in arguments)
        item = "item"
    else:
        values = [as_text(case.rows[0][name], types[name]) for name, _ in arguments]
        # Not a cast from text: that would cut varchar(3) without a word.
        marks, item = ", ".join("%s" for _ in arguments), "1"
    function = helper.signature.partition("(")[0].replace("%", "%%")
    found = connection.execute(
        f"select {item}, outcome, record from {function}({marks})".encode(), values
    ).fetchall()
    assert [item for item, *_ in found] == list(range(1, len(found) + 1))
    wanted = case.expect.get("items", [case.expect])
    # A helper does not say what differs.
    return [
        Answer(outcome, record, expect.get("differs", []))
        for (_, outcome, record), expect in zip(found, wanted, strict=True)
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_typed_helpers(shop: psycopg.Connection[Any], name: str) -> None:
    case = CASES[name]
    shop.rollback()
    make_state(shop, case)
    try:
        with shop.transaction():
            answers = call(shop, case)
    except psycopg.Error as error:
        text = f"{error.diag.message_primary} {error.diag.message_detail}"
        check_error(case, error.sqlstate, text, error.diag.message_hint)
    except IdemError as error:  # what the other doors say when called is said when the helper is made
        check_error(case, error.sqlstate, error.message, error.hint)
    else:
        check_answers(case, answers)
    check_after(shop, case)
