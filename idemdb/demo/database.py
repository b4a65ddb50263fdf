"""Give the demo a database of its own, with idemdb installed by its migrations and tables."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from idemdb import resources
from idemdb.alembic import environment
from idemdb.embedded import EmbeddedPostgres

PROTECTED: Final = "with_idemdb"
PLAIN: Final = "without_idemdb"

# Whatever the server's own encoding: SQLAlchemy cannot read text that has none (SQL_ASCII).
_DATABASE = "create database {} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"

_TABLES = """\
create schema {schema};
create table {schema}.charges (
    id bigint generated always as identity primary key,
    scope text not null,
    key text not null,
    amount bigint not null,
    currency text not null,
    request integer not null
);
comment on column {schema}.charges.request is 'line of the input file whose request made the charge';
create table {schema}.bookings (
    id bigint generated always as identity primary key,
    event text not null,
    charge bigint not null,
    amount bigint not null,
    currency text not null
);
comment on column {schema}.bookings.event is 'id that the payment provider gave to the event';"""


class ServerError(Exception):
    """The demo cannot use this server."""


@dataclass(frozen=True)
class Database:
    """A database for one run of the demo.

    :param dsn: its connection string.
    :param version: of the server, such as '18.6'.
    :param host: of the server: an address, or the directory of its Unix socket.
    :param port: of the server.
    """

    dsn: str
    version: str
    host: str
    port: int

    def through(self, host: str, port: int) -> str:
        """Return the connection string of this database by way of a proxy.

        :param host: of the proxy.
        :param port: of the proxy.
        """
        return make_conninfo(self.dsn, host=host, port=port)


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """Give the DSN of a server: the one that is named, else one that runs as long as the block.

    :param dsn: a connection string, or None.
    :raises EmbeddedError: when no server could be started.
    """
    if dsn is not None:
        yield dsn
        return
    with EmbeddedPostgres(durable=True) as embedded:
        yield embedded.dsn


@contextmanager
def database(dsn: str) -> Iterator[Database]:
    """Create a database beside the one of the DSN, and drop it after the block, whatever happened.

    :param dsn: of a server; the role must be allowed to create databases.
    :raises ServerError: when the DSN insists on TLS, or the role may not create databases.
    :raises psycopg.Error: when the server cannot be reached or refuses otherwise.
    """
    mode = conninfo_to_dict(dsn).get("sslmode")
    if mode in ("require", "verify-ca", "verify-full"):
        raise ServerError(
            f"The DSN insists on TLS (sslmode={mode}), but the demo's proxy must read what it cuts."
        )
    name = f"idemdb_demo_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        info = connection.info
        own = make_conninfo(
            host=info.host,
            port=info.port,
            user=info.user,
            # Also one from a password file, which would not find it for the proxy's address.
            password=info.password,
            dbname=name,
            sslmode="disable",
            gssencmode="disable",
            application_name="idemdb demo",
        )
        version = info.parameter_status("server_version") or ""
        found = Database(own, version.partition(" ")[0], info.hostaddr or info.host, info.port)
    try:
        _create(dsn, name)
        yield found
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            drop = sql.SQL("drop database if exists {} with (force)")
            connection.execute(drop.format(sql.Identifier(name)))


def _create(dsn: str, name: str) -> None:
    """Create a database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(sql.SQL(_DATABASE).format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege as error:
            user = connection.info.user
            raise ServerError(
                f"The demo makes a database of its own, but {user} may not: alter role {user} createdb, "
                "or leave --dsn out."
            ) from error


def install(database: Database) -> int:
    """Install idemdb by its migrations, and make the tables of both sides; return the release.

    :param database: a new one.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database.dsn), poolclass=NullPool
    )
    release = resources.latest()
    # Roles belong to the whole server: they would outlive the demo's database.
    environment.upgrade(engine, release, roles=False)
    with psycopg.connect(database.dsn) as connection:
        for schema in (PROTECTED, PLAIN):
            connection.execute(sql.SQL(_TABLES).format(schema=sql.Identifier(schema)))
    return release
