"""What an operation needs, counted and not timed: round trips, WAL, transaction ids, dead tuples."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
from psycopg.pq import Trace

from idemdb.bench.cases import Measure, Operation
from idemdb.bench.client import performer

_WARM_UP = 30

_WAL = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"
_COUNTERS = """
select pg_snapshot_xmax(pg_current_snapshot())::text::float8 as xids,
    n_dead_tup::float8 as dead_tuples, n_tup_upd::float8 as updates, n_tup_hot_upd::float8 as hot
from pg_stat_user_tables
where relid = 'idemdb.keys'::regclass
"""

Counts = dict[Measure, float | None]


def count(dsn: str, operation: Operation, operations: int) -> Counts:
    """Return what one operation needs.

    :param dsn: of the benchmark's database.
    :param operation: is done this often, in one session.
    :param operations: how often.

    Bytes of WAL are the median's: an index page that splits, a page that is written whole because it is the
    first time after a checkpoint, and what the server writes by itself belong to a few operations only.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        perform = performer(connection, operation)
        for _ in range(_WARM_UP):
            perform()
        before = _counters(connection)
        written = [_written(connection, perform) for _ in range(operations)]
        after = _counters(connection)
        delta = {name: after[name] - before[name] for name in before}
        return {
            "round_trips": _round_trips(connection, perform),
            "wal_bytes": statistics.median(written),
            "xids": delta["xids"] / operations,
            "dead_tuples": delta["dead_tuples"] / operations,
            "hot_share": delta["hot"] / delta["updates"] if delta["updates"] else None,
        }


def _written(connection: psycopg.Connection[Any], perform: Callable[[], None]) -> float:
    """Return how much WAL the server writes while the operation is done."""
    before = _position(connection)
    perform()
    return _position(connection) - before


def _position(connection: psycopg.Connection[Any]) -> float:
    row = connection.execute(_WAL).fetchone()
    assert row is not None, "a select without a table answers with a row"
    return float(row[0])


def _counters(connection: psycopg.Connection[Any]) -> Mapping[str, float]:
    """Read the server's counters, the statistics of this session included."""
    connection.execute("select pg_stat_force_next_flush()")
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(cast("Any", _COUNTERS)).fetchone()
    assert row is not None, "idemdb.keys has statistics"
    return row


def _round_trips(connection: psycopg.Connection[Any], perform: Callable[[], None]) -> float | None:
    """Return how often the client waits for the server, from the protocol; None where libpq cannot trace."""
    with tempfile.TemporaryFile("w+") as log:
        try:
            connection.pgconn.trace(log.fileno())
        except psycopg.NotSupportedError:
            return None
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        perform()
        connection.pgconn.untrace()
        log.seek(0)
        return float(round_trips(log.read()))


def round_trips(trace: str) -> int:
    """Return how many messages in libpq's trace ask for an answer: Query and Sync.

    :param trace: lines of direction (F from the client), length, message, contents, separated by tabs.
    """
    messages = [line.split("\t") for line in trace.splitlines()]
    return sum(len(parts) > 2 and parts[0] == "F" and parts[2] in {"Query", "Sync"} for parts in messages)
