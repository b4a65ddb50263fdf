"""What a call leaves behind: transaction id, WAL, locks."""

from __future__ import annotations

from typing import Any

import psycopg

_LOCKS = """
    select distinct mode from pg_catalog.pg_locks where pid = pg_backend_pid() and locktype <> 'virtualxid'
"""
# Of readers, and of statements that could write but find nothing to do.
_OF_READERS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}


def wal_of(conn: psycopg.Connection[Any], call: str) -> int:
    """Return how many bytes of WAL a call writes, counted by its own backend.

    :param call: SQL of a function call of schema idemdb, without the schema.
    """
    row = conn.execute(f"explain (analyze, wal, format json) select * from idemdb.{call}".encode()).fetchone()
    assert row is not None
    return int(row[0][0]["Plan"]["WAL Bytes"])


def assert_writes_nothing(conn: psycopg.Connection[Any], *calls: str) -> None:
    """Assert that calls take no transaction id, no lock that lasts but those of a reader, and write no WAL.

    :param conn: in no transaction.
    """
    for call in calls:
        wal_of(conn, call)  # the first touch of a page may write hint bits
        conn.rollback()
        assert wal_of(conn, call) == 0, call
        assert conn.execute("select pg_catalog.pg_current_xact_id_if_assigned()").fetchone() == (None,), call
        assert {mode for (mode,) in conn.execute(_LOCKS)} <= _OF_READERS, call
        conn.rollback()
