"""The operations on typed helpers: up, down, renewal, autogenerate, on every driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine

import idemdb.alembic  # noqa: F401  (registers the operations)
from idemdb import row_helpers

TABLE = """
create table users (
    id integer primary key, email text not null constraint users_email_key unique, name text
)"""


def model(*more: Column[Any], key: bool = True) -> MetaData:
    metadata = MetaData()
    constraints = [UniqueConstraint("email", name="users_email_key")] if key else []
    columns = (
        Column("id", Integer, primary_key=True),
        Column("email", Text, nullable=False),
        Column("name", Text),
    )
    Table("users", metadata, *columns, *more, *constraints)
    return metadata


def operations(connection: Connection) -> Any:
    return Operations(MigrationContext.configure(connection))


def names(connection: Connection) -> list[tuple[str, str]]:
    return [(h.name, h.types) for h in row_helpers.installed(row_helpers.of_sqlalchemy(connection))]


def on(dsn: str, work: Callable[[Connection], Any], driver: str = "psycopg") -> Any:
    url = dsn.replace("postgresql:", f"postgresql+{driver}:")
    if driver != "asyncpg":
        engine = create_engine(url)
        with engine.begin() as connection:
            found = work(connection)
        engine.dispose()
        return found

    async def run() -> Any:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found

    return asyncio.run(run())


def propose(connection: Connection, metadata: MetaData) -> tuple[str, str]:
    script = produce_migrations(MigrationContext.configure(connection), metadata)
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    return render_python_code(script.upgrade_ops), render_python_code(script.downgrade_ops)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_up_again_renewed_and_down(dsn: str, driver: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text(TABLE))
        op = operations(connection)
        op.create_row_helpers("users", "users_email_key", verbs=["create", "put"])
        connection.execute(
            text("grant execute on function users_put_by_email_key(text, integer, text) to idemdb_reader")
        )
        connection.execute(text("alter table users add visits integer"))
        op.create_row_helpers("users", "users_email_key", verbs=["create", "put"])
        assert names(connection) == [
            ("users_create_by_email_key", "text, integer, text, integer"),
            ("users_put_by_email_key", "text, integer, text, integer"),
        ]
        (rights,) = connection.execute(
            text("select proacl from pg_proc where proname = 'users_put_by_email_key'")
        ).one()
        assert "idemdb_reader=X" in str(rights)
        assert "idemdb_user=X" in str(rights)
        op.drop_row_helpers("users", "users_email_key", verbs=["create", "put"])
        op.drop_row_helpers("users", "users_email_key")
        assert names(connection) == []

    on(dsn, work, driver)


def test_autogenerate_is_silent_until_something_changes(dsn: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text(TABLE))
        operations(connection).create_row_helpers("users", "users_email_key", verbs=["create", "put"])
        assert "row_helpers" not in "".join(propose(connection, model()))
        up, down = propose(connection, model(Column("visits", Integer)))
        renewal = "op.create_row_helpers('users', 'users_email_key', verbs=['create', 'put'])"
        assert up.index("add_column") < up.index(renewal)
        assert down.index("drop_column") < down.index(renewal)
        connection.execute(text("alter table users add visits integer"))
        assert renewal in propose(connection, model(Column("visits", Integer)))[0]
        operations(connection).create_row_helpers("users", "users_email_key", verbs=["create", "put"])
        assert "row_helpers" not in propose(connection, model(Column("visits", Integer)))[0]

    on(dsn, work)


def test_autogenerate_drops_what_has_no_index(dsn: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text(TABLE))
        operations(connection).create_row_helpers("users", "users_email_key", verbs=["put"])
        up, down = propose(connection, model(key=False))
        drop = "op.drop_row_helpers('users', 'users_email_key', verbs=['put'])"
        assert up.index(drop) < up.index("drop_constraint")
        assert down.index("create_unique_constraint") < down.index("op.create_row_helpers(")
        connection.execute(text("alter table users drop constraint users_email_key"))
        assert drop in propose(connection, model(key=False))[0]

    on(dsn, work)


def test_offline(dsn: str) -> None:
    written = StringIO()
    op: Any = Operations(
        MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
    )
    with pytest.raises(CommandError, match="idemdb helpers add users users_email_key --sql"):
        op.create_row_helpers("users", "users_email_key")
    op.drop_row_helpers("users", "users_email_key", verbs=["put"])

    def work(connection: Connection) -> None:
        connection.execute(text(TABLE))
        operations(connection).create_row_helpers("users", "users_email_key", verbs=["put"])
        connection.execute(text(written.getvalue().replace(":", r"\:")))
        assert names(connection) == []

    on(dsn, work)


def test_errors_are_alembics(dsn: str) -> None:
    def work(connection: Connection) -> None:
        with pytest.raises(CommandError, match="no table nowhere"):
            operations(connection).create_row_helpers("nowhere", "key")

    on(dsn, work)
