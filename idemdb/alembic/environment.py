"""Install and take down the schema without an application's own Alembic: what the CLI does."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Literal

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from idemdb import resources

SCHEMA = "idemdb"
VERSION_TABLE = "alembic_version"

Installer = Literal["idemdb upgrade", "version_locations", "unknown"]

_FIND_VERSION = "select pg_catalog.to_regprocedure('idemdb.version()') is not null"

_FIND_OWN_TABLE = f"select pg_catalog.to_regclass('{SCHEMA}.{VERSION_TABLE}') is not null"

_FIND_OTHER_TABLES = f"""\
select c.oid::pg_catalog.regclass::text
from pg_catalog.pg_class as c
where c.relname = 'alembic_version' and c.relkind = 'r'
    and c.relnamespace is distinct from pg_catalog.to_regnamespace('{SCHEMA}')
    and pg_catalog.has_table_privilege(c.oid, 'select')"""

_HAS_PACKAGE_REVISION = r"select exists (select from {table} where version_num ~ '^idemdb_\d+$')"


class InstalledOtherwiseError(Exception):
    """The schema was not installed by `idemdb upgrade`, so the CLI leaves it to the tool that did.

    :param version: the release that is installed.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"release {version} is installed, but not by `idemdb upgrade`")


@dataclass(frozen=True)
class Installed:
    """What is installed in a database.

    :param version: the installed release, 0 for none.
    :param newest: the newest release that this package carries.
    :param by: how it was installed, as far as the database tells; None where nothing is installed.
    """

    version: int
    newest: int
    by: Installer | None


def installed(connection: Connection) -> Installed:
    """Say which release is installed, and how it came there.

    :param connection: any SQLAlchemy connection to the database.
    """
    version = 0
    if connection.scalar(text(_FIND_VERSION)):
        version = int(connection.execute(text("select idemdb.version()")).scalar_one())
    by = _installer(connection) if version else None
    return Installed(version=version, newest=resources.latest(), by=by)


def _installer(connection: Connection) -> Installer:
    if connection.scalar(text(_FIND_OWN_TABLE)):
        return "idemdb upgrade"
    for table in connection.scalars(text(_FIND_OTHER_TABLES)).all():
        # The name comes from regclass, which quotes it.
        if connection.scalar(text(_HAS_PACKAGE_REVISION.format(table=table))):
            return "version_locations"
    return "unknown"


def upgrade(engine: Engine, to: int, *, roles: bool = True) -> Installed:
    """Install the releases up to ``to``, in one transaction; nothing to do where they are installed.

    :param engine: of the database; psycopg or any other driver of SQLAlchemy's that is not asynchronous.
    :param to: the release to arrive at.
    :param roles: whether to create idemdb's roles and grant to them.
    :return: what was installed before.
    :raises InstalledOtherwiseError: when an older release is there that `idemdb upgrade` did not install.
    """
    with engine.connect() as connection:
        before = installed(connection)
    if before.version < to:
        _refuse_if_foreign(before)
        with engine.connect() as connection:
            command.upgrade(_config(connection, f"idemdb_roles={'yes' if roles else 'no'}"), _revision(to))
    return before


def downgrade(engine: Engine, to: int, *, force: bool = False) -> Installed:
    """Take the releases above ``to`` down, in one transaction; after the last the schema goes too.

    :param engine: as for `upgrade`.
    :param to: the release to arrive at; 0 for none.
    :param force: whether to forget the keys that are still remembered; else SQLSTATE ID004.
    :return: what was installed before.
    :raises InstalledOtherwiseError: when `idemdb upgrade` did not install what is there.
    """
    with engine.connect() as connection:
        before = installed(connection)
    if before.version > to:
        _refuse_if_foreign(before)
        with engine.connect() as connection:
            command.downgrade(_config(connection, f"idemdb_force={'yes' if force else 'no'}"), _revision(to))
    return before


def _refuse_if_foreign(before: Installed) -> None:
    if before.version and before.by != "idemdb upgrade":
        raise InstalledOtherwiseError(before.version)


def _revision(release: int) -> str:
    return f"idemdb_{release:04d}" if release else "base"


def _config(connection: Connection, argument: str) -> Config:
    config = Config(cmd_opts=Namespace(x=[argument]), attributes={"connection": connection})
    config.set_main_option("script_location", str(resources.MIGRATIONS).replace("%", "%%"))
    return config
