"""The environment of `idemdb upgrade` and `idemdb downgrade`; an application's own Alembic never runs it."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from idemdb.alembic import environment, install

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table=environment.VERSION_TABLE,
    version_table_schema=environment.SCHEMA,
)
with context.begin_transaction():
    # Before Alembic reads its version table: the second of two installs must see what the first did.
    connection.execute(text(f"select pg_catalog.pg_advisory_xact_lock({install.ADVISORY_LOCK})"))
    connection.execute(text(f"create schema if not exists {environment.SCHEMA}"))
    context.run_migrations()
    if not context.get_context().get_current_heads():
        connection.execute(text(f"drop table {environment.SCHEMA}.{environment.VERSION_TABLE}"))
        connection.execute(text(f"do $$begin {install.DROP_SCHEMA} end$$"))
