"""docs/reference/sql.md and python.md say what the database and the docstrings say."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

import idemdb
from tools import reference

AGAIN = "write it again: python -m tools.reference"


def test_sql_is_current(conn: psycopg.Connection[Any]) -> None:
    assert (reference.REFERENCE / "sql.md").read_text() == reference.sql_page(conn), AGAIN


def test_python_is_current() -> None:
    assert (reference.REFERENCE / "python.md").read_text() == reference.python_page(), AGAIN


def test_sql_follows_the_comments(conn: psycopg.Connection[Any]) -> None:
    conn.execute("comment on function idemdb.version() is 'Another text.'")
    assert "Another text." in reference.sql_page(conn)


def test_python_refuses_a_name_without_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idemdb, "__all__", [*idemdb.__all__, "Another"])
    with pytest.raises(ValueError, match="Another"):
        reference.python_page()


def test_every_public_function_is_described(conn: psycopg.Connection[Any]) -> None:
    page = (reference.REFERENCE / "sql.md").read_text()
    public = conn.execute(
        "select proname from pg_proc"
        " where pronamespace = 'idemdb'::regnamespace and not starts_with(proname, '_')"
    ).fetchall()
    assert {name for (name,) in public} <= set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
