"""Python's row verbs answer every case of the vectors as DESIGN says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy import Connection, MetaData, Table, create_engine
from sqlalchemy.exc import DBAPIError

from idemdb import Idem, IdemError, reread_tables
from tests.support.database import database
from tests.support.row_vectors import (
    Answer,
    RowCase,
    as_python,
    cases,
    check_after,
    check_answers,
    check_error,
    column_types,
    make_state,
    make_tables,
)

CASES = cases("python")


@pytest.fixture(scope="module")
def shop_dsn(template: NoopExecutor) -> Iterator[str]:
    with database(template) as dsn, psycopg.connect(dsn) as connection:
        make_tables(connection)
        connection.commit()
        yield dsn


@pytest.fixture(scope="module")
def shop(shop_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shop_dsn) as connection:
        yield connection
        connection.rollback()


def call(idem: Idem, case: RowCase, table: Any, types: Mapping[str, str]) -> list[Answer]:
    """Call the verb as a Python program would."""

    def python(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: as_python(value, types.get(name, "text")) for name, value in row.items()}

    given: Any = [python(row) for row in case.rows]
    options = dict(case.options or {})
    found: Any = getattr(idem, case.verb)(
        table, given if case.is_batch else given[0], index=case.index, **options
    )
    answers = found if case.is_batch else [found]
    assert [answer.item for answer in answers] == list(range(1, len(answers) + 1))
    return [Answer(answer.outcome, answer.record, answer.differs) for answer in answers]


def said(error: Exception) -> tuple[str | None, str, str | None]:
    """Return SQLSTATE, message and hint."""
    if isinstance(error, IdemError):
        return error.sqlstate, error.message, error.hint
    raw: Any = getattr(error, "orig", error)
    return raw.sqlstate, str(raw), raw.diag.message_hint


@pytest.mark.parametrize("name", CASES)
def test_over_psycopg_by_name(shop: psycopg.Connection[Any], name: str) -> None:
    case = CASES[name]
    shop.rollback()
    reread_tables()
    make_state(shop, case)
    types = column_types(shop, case.table)
    try:
        with shop.transaction():
            answers = call(Idem(shop), case, case.table, types)
    except (psycopg.Error, IdemError) as error:
        check_error(case, *said(error))
    else:
        check_answers(case, answers)
    check_after(shop, case)
    shop.rollback()


@pytest.fixture(scope="module")
def core(shop_dsn: str) -> Iterator[Connection]:
    engine = create_engine(shop_dsn.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize("name", CASES)
def test_over_sqlalchemy_with_a_table(core: Connection, name: str) -> None:
    case = CASES[name]
    core.rollback()
    reread_tables()
    raw: Any = core.connection.driver_connection
    make_state(raw, case)
    types = column_types(raw, case.table)
    schema, _, plain = case.table.partition(".")
    table = Table(plain.strip('"'), MetaData(), schema=schema, autoload_with=core)
    try:
        with core.begin_nested() if core.in_transaction() else core.begin():
            answers = call(Idem(core), case, table, types)
    except (DBAPIError, IdemError) as error:
        check_error(case, *said(error))
    else:
        check_answers(case, answers)
    check_after(raw, case)
    core.rollback()
