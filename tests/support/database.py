"""Databases for tests: created, filled with idemdb, dropped."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

from idemdb import resources
from idemdb.embedded import packaged_bindir

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """The PostgreSQL server under test.

    :param dsn: its database ``postgres``, as superuser.
    :param version_num: its version as PostgreSQL writes it, 180006 for 18.6.
    :param bindir: its programs; None when the server was not started by this run of the tests.
    """

    dsn: str
    version_num: int
    bindir: Path | None

    @property
    def psql(self) -> Path:
        """Return a psql: this server's own, or the newest one, which talks to every major."""
        own = self.bindir / "psql" if self.bindir else None
        return own if own and own.exists() else packaged_bindir() / "psql"


def install(*, autocommit: bool, **where: str) -> None:
    """Install all releases of idemdb, roles included: a loader of pytest-postgresql.

    The roles belong to the whole server, so installs into two databases take turns. Advisory locks belong to
    one database: the one that all of them share.
    """
    with psycopg.connect(**{**where, "dbname": "postgres"}) as shared:  # type: ignore[arg-type]
        shared.execute("select pg_advisory_xact_lock(hashtextextended('idemdb: tests install', 0))")
        with psycopg.connect(**where, autocommit=autocommit) as conn:  # type: ignore[arg-type]
            for release in resources.releases():
                for name in ("upgrade.sql", "roles.sql"):
                    text = resources.release_file(release, name).read_text()
                    conn.execute(f"do $a$ begin execute $b${text}$b$; end $a$".encode())


@contextmanager
def database(template: NoopExecutor, *, installed: bool = True) -> Iterator[str]:
    """Make a database, give its DSN, and drop it, whoever is still connected.

    :param template: the executor whose template database is cloned.
    :param installed: False makes an empty database instead.
    """
    name = f"t{os.getpid()}_{next(_numbers)}"
    janitor = DatabaseJanitor(
        host=template.host,
        port=template.port,
        user=template.user,
        password=template.password,
        dbname=name,
        template_dbname=template.template_dbname if installed else "template0",
    )
    with janitor:
        # A URL, because every driver reads one.
        account = f"{template.user}:{template.password}" if template.password else template.user
        yield f"postgresql://{account}@{template.host}:{template.port}/{name}"
