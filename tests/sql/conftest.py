"""Fixtures of the tests of the database's side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from tests.support.database import database
from tests.support.row_vectors import make_tables


@pytest.fixture(scope="module")
def shop(template: NoopExecutor) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to a database with idemdb and the tables of the row vectors."""
    with database(template) as dsn, psycopg.connect(dsn) as connection:
        make_tables(connection)
        connection.commit()
        yield connection
        connection.rollback()
