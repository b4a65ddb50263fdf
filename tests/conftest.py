"""One PostgreSQL server for a run of the tests, and databases in it.

The controller of a run starts the server, xdist's workers use it too. ``IDEMDB_TEST_DSN`` names a running
server instead (a superuser's URL), ``IDEMDB_TEST_BINDIR`` the programs of another major.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

from idemdb.embedded import EmbeddedPostgres
from tests.support.database import Server, database, install

_SETTINGS = {"max_connections": "300", "max_prepared_transactions": "20"}
_server = pytest.StashKey[Server]()
_embedded = pytest.StashKey[EmbeddedPostgres]()

MakeConnection = Callable[..., psycopg.Connection[Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Start the server or find the one that runs, and tell pytest-postgresql about it."""
    if config.option.collectonly:
        return
    dsn, bindir = os.environ.get("IDEMDB_TEST_DSN"), os.environ.get("IDEMDB_TEST_BINDIR")
    if hasattr(config, "workerinput"):
        dsn, bindir = config.workerinput["idemdb_dsn"], config.workerinput["idemdb_bindir"]
    if dsn is None:
        embedded = EmbeddedPostgres(bindir=Path(bindir) if bindir else None, settings=_SETTINGS)
        embedded.start()
        config.stash[_embedded] = embedded
        dsn, bindir = embedded.dsn, str(embedded.bindir)
    with psycopg.connect(dsn) as conn:
        version = conn.info.server_version
    config.stash[_server] = Server(dsn, version, Path(bindir) if bindir else None)
    where = conninfo_to_dict(dsn)
    for option in ("host", "port", "user", "password"):
        setattr(config.option, f"postgresql_{option}", where.get(option))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the server is."""
    server = node.config.stash[_server]
    node.workerinput["idemdb_dsn"] = server.dsn
    node.workerinput["idemdb_bindir"] = str(server.bindir) if server.bindir else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server, if this process started it."""
    if _embedded in config.stash:
        config.stash[_embedded].stop()


def pytest_report_header(config: pytest.Config) -> str:
    """Say which PostgreSQL is tested."""
    if _server not in config.stash:
        return "PostgreSQL: not started"
    major, minor = divmod(config.stash[_server].version_num, 10000)
    return f"PostgreSQL: {major}.{minor}"


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    """Return the server: its DSN (superuser, database postgres), version number, and programs."""
    return pytestconfig.stash[_server]


# A template database of each worker, cloned for tests. Its installation also creates the roles of idemdb.
template = factories.postgresql_noproc(dbname="idemdb", load=[install])


@pytest.fixture(scope="session")
def _worker_database(template: NoopExecutor) -> Iterator[str]:
    """Return the DSN of a database that the tests of one worker share and leave clean."""
    with database(template) as dsn:
        yield dsn


@pytest.fixture
def dsn(template: NoopExecutor) -> Iterator[str]:
    """Return the DSN of a fresh database with idemdb, for tests that commit."""
    with database(template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(template: NoopExecutor) -> Iterator[str]:
    """Return the DSN of a fresh database without idemdb. The server has idemdb's roles."""
    with database(template, installed=False) as dsn:
        yield dsn


@pytest.fixture
def make_conn() -> Iterator[MakeConnection]:
    """Return a function ``(dsn, **options)`` that opens connections, closed after the test."""
    opened: list[psycopg.Connection[Any]] = []

    def make(dsn: str, **options: Any) -> psycopg.Connection[Any]:
        opened.append(psycopg.connect(dsn, **options))
        return opened[-1]

    yield make
    for conn in reversed(opened):
        conn.close()


@pytest.fixture
def conn(_worker_database: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a superuser's connection to a shared database with idemdb; nothing it does outlives the test."""
    with psycopg.connect(_worker_database) as conn:
        yield conn
        conn.rollback()
