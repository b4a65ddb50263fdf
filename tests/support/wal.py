"""What a statement leaves behind: transaction id, WAL, dead tuples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

_POSITION = "select pg_catalog.pg_current_wal_insert_lsn()"
# Whatever else happens in the server in this moment (a snapshot of running transactions) is not the test's.
_NOISE = 200


@contextmanager
def writes_nothing(conn: psycopg.Connection[Any], judge: psycopg.Connection[Any]) -> Iterator[None]:
    """Assert that what runs inside takes no transaction id, no row lock, and writes no WAL.

    :param conn: runs the statements in a transaction of its own, which is rolled back.
    :param judge: another connection, in autocommit mode.
    """
    conn.rollback()
    judge.execute("checkpoint")
    before = judge.execute(_POSITION).fetchone()
    yield
    assert conn.execute("select pg_catalog.pg_current_xact_id_if_assigned()").fetchone() == (None,)
    modes = conn.execute(
        "select distinct mode from pg_catalog.pg_locks where pid = pg_backend_pid() and locktype <> 'virtualxid'"
    ).fetchall()
    assert {mode for (mode,) in modes} <= {"AccessShareLock", "RowExclusiveLock", "RowShareLock"}
    conn.rollback()
    after = judge.execute(_POSITION).fetchone()
    assert before is not None and after is not None
    written = judge.execute("select pg_catalog.pg_wal_lsn_diff(%s, %s)", [after[0], before[0]]).fetchone()
    assert written is not None and written[0] < _NOISE, f"{written} bytes of WAL"
