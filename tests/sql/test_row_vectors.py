"""The SQL verbs answer every case of the vectors as DESIGN says."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.support.row_vectors import (
    DOORS,
    Answer,
    RowCase,
    cases,
    check_after,
    check_answers,
    check_error,
    every_case,
    make_state,
)

CASES = cases("sql")


def call(connection: psycopg.Connection[Any], case: RowCase) -> list[Answer]:
    """Call the verb with every parameter by position, as any client would."""
    options = None if case.options is None else json.dumps(case.options)
    argument = None if case.argument is None else json.dumps(case.argument)
    found = connection.execute(
        f"select item, outcome, record, differs from idemdb.{case.verb}(%s::regclass, %s::jsonb, %s, %s::jsonb)",
        [case.table, argument, case.index, options],
    ).fetchall()
    assert [item for item, *_ in found] == list(range(1, len(found) + 1))
    return [Answer(outcome, record, differs) for _, outcome, record, differs in found]


@pytest.mark.parametrize("name", CASES)
def test_the_sql_verbs(shop: psycopg.Connection[Any], name: str) -> None:
    case = CASES[name]
    shop.rollback()
    make_state(shop, case)
    try:
        with shop.transaction():
            answers = call(shop, case)
    except psycopg.Error as error:
        text = f"{error.diag.message_primary} {error.diag.message_detail}"
        check_error(case, error.sqlstate, text, error.diag.message_hint)
    else:
        check_answers(case, answers)
    check_after(shop, case)


@pytest.mark.parametrize("name", {case.name: case for case in every_case() if case.before})
def test_the_stored_state_can_be_made(shop: psycopg.Connection[Any], name: str) -> None:
    """A case whose state cannot be made would show nothing."""
    (case,) = (case for case in every_case() if case.name == name)
    shop.rollback()
    make_state(shop, case)
    assert shop.execute(f"select from {case.table} limit 1") is not None


def test_every_case_has_a_name_of_its_own_and_known_doors() -> None:
    assert len({case.name for case in every_case()}) == len(every_case())
    assert {door for case in every_case() for door in case.doors} == set(DOORS)


def test_a_wrong_answer_is_seen() -> None:
    """The comparison can fail: in its outcome, its record, its columns and what differs."""
    case = CASES["returning: of an existing row"]
    check_answers(case, [Answer("existing", {"id": 900}, ["name"])])
    for wrong in (
        Answer("created", {"id": 900}, ["name"]),
        Answer("existing", {"id": 901}, ["name"]),
        Answer("existing", {"id": 900, "name": "Ann"}, ["name"]),
        Answer("existing", {"id": 900}, []),
        Answer("existing", {"id": 900}, None),
        Answer("existing", None, ["name"]),
    ):
        with pytest.raises((AssertionError, TypeError)):
            check_answers(case, [wrong])
    with pytest.raises(AssertionError):
        check_error(case, "ID004", "no", "hint")
