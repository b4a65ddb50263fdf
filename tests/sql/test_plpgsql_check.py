from __future__ import annotations

from typing import Any

import psycopg
import pytest

# The one is said of loops that only a RETURN leaves, the other of assignments that cast a single value.
HARMLESS = [
    "control reached end of function without RETURN",
    "target type is different type than source type",
    "cannot determinate a result of dynamic SQL",
]
CHECK = """
    select p.oid::regprocedure::text, c.level, c.lineno, c.message
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql',
    plpgsql_check_function_tb(p.oid, fatal_errors => false) as c
    where p.pronamespace = %s::text::regnamespace and p.prorettype <> 'trigger'::regtype
        and c.message <> all(%s)
"""


@pytest.fixture
def checked(conn: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    available = "select from pg_available_extensions where name = 'plpgsql_check'"
    if conn.execute(available).fetchone() is None:
        pytest.skip("this server has no plpgsql_check; make test-matrix MAJORS=15 fetches it")
    conn.execute("create extension plpgsql_check with schema pg_catalog")
    return conn


def test_no_function_names_what_does_not_exist_or_keeps_what_it_does_not_use(
    checked: psycopg.Connection[Any],
) -> None:
    assert checked.execute(CHECK, ["idemdb", HARMLESS]).fetchall() == []


def test_the_check_can_fail(checked: psycopg.Connection[Any]) -> None:
    checked.execute("create schema mistaken")
    checked.execute(
        "create function mistaken.f() returns integer language plpgsql as $$"
        " declare v_unused integer; begin return (select no_such_column from idemdb.keys); end $$"
    )
    messages = [row[3] for row in checked.execute(CHECK, ["mistaken", HARMLESS])]
    assert 'column "no_such_column" does not exist' in messages
