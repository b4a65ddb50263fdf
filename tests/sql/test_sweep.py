"""sweep: expiry in small steps, and nothing that is still needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

Connect = Callable[..., psycopg.Connection[Any]]
FILL = r"""
    insert into idemdb.keys (claim_token, claim_xid, created_at, forget_at, replay_until, completed_at, scope, key, fingerprint, body)
    select 1, '3', now(), now() + %s::interval, now() + %s::interval, now(), 's', 'k' || n, '\x', repeat('x', 400)::bytea
    from generate_series(1, %s) as n
"""


EVENTS = """
    insert into idemdb.inbox (forget_at, event_key, consumer)
    select now() + %s::interval, gen_random_uuid(), 1 from generate_series(1, %s)
"""
PASSES = {"answers": "keys", "keys": "keys", "dedup_keys": "outbox_keys", "events": "inbox", "failures": "event_failures"}


def sweep(conn: psycopg.Connection[Any], limit: int, table: str = "keys") -> dict[str, Any]:
    """Sweep once; return how much was removed of each kind in a table, and whether its pass is complete."""
    rows = conn.execute("select what, removed, pass_complete from idemdb.sweep(%s)", [limit]).fetchall()
    assert {row[0] for row in rows} == set(PASSES)
    rows = [row for row in rows if PASSES[row[0]] == table]
    return {what: removed for what, removed, _ in rows} | {"complete": {complete for _, _, complete in rows}}


def test_it_goes_in_steps_and_misses_nothing(dsn: str, make_conn: Connect) -> None:
    """Each call removes at most the limit; a whole pass removes all."""
    conn = make_conn(dsn, autocommit=True)
    conn.execute(FILL, ["-1 second", "-2 seconds", 5000])
    removed = calls = 0
    complete = False
    while not complete:
        result = sweep(conn, 700)
        assert result["keys"] <= 700
        removed += result["keys"]
        complete = result["complete"] == {True}
        calls += 1
        assert calls < 100
    assert removed == 5000
    assert calls > 5
    assert conn.execute("select count(*) from idemdb.keys").fetchone() == (0,)


def test_a_pass_over_a_large_table_is_split(dsn: str, make_conn: Connect) -> None:
    """With nothing to remove, a call still reads no more blocks than its limit, and the next goes on from there."""
    conn = make_conn(dsn, autocommit=True)
    conn.execute(FILL, ["1 day", "1 day", 5000])
    blocks = conn.execute("select pg_relation_size('idemdb.keys') / 8192").fetchone()
    assert blocks is not None
    limit = blocks[0] // 3
    assert [sweep(conn, limit)["complete"] for _ in range(4)] == [{False}, {False}, {False}, {True}]


def test_answers_go_first_and_keys_later(dsn: str, make_conn: Connect) -> None:
    """At replay_for the answer is dropped, its reference stays; at keep_for the row goes."""
    conn = make_conn(dsn, autocommit=True)
    conn.execute(FILL, ["1 day", "-1 second", 3])
    conn.execute("update idemdb.keys set reference = 'payment/7', status = 200")
    assert sweep(conn, 2) == {"answers": 2, "keys": 0, "complete": {False}}
    assert sweep(conn, 2) == {"answers": 1, "keys": 0, "complete": {True}}
    assert sweep(conn, 2) == {"answers": 0, "keys": 0, "complete": {True}}
    row = conn.execute(
        r"select outcome, status, body, reference from idemdb.claim('s', 'k1', '\x')"
    ).fetchone()
    assert row == ("expired", None, None, "payment/7")
    conn.execute("update idemdb.keys set forget_at = now() where key = 'k1'")
    assert sweep(conn, 9)["keys"] == 1
    assert conn.execute(r"select outcome from idemdb.claim('s', 'k1', '\x')").fetchone() == ("started",)


def test_it_waits_for_nobody(dsn: str, make_conn: Connect) -> None:
    """A locked row is left for the next pass, a second sweeper answers at once."""
    conn, other = make_conn(dsn), make_conn(dsn)
    conn.execute(FILL, ["-1 second", "-2 seconds", 3])
    conn.commit()
    conn.execute("set lock_timeout = '1ms'")
    conn.commit()
    other.execute("select from idemdb.keys where key = 'k2' for update")
    assert sweep(conn, 100) == {"answers": 0, "keys": 2, "complete": {True}}
    other.rollback()
    assert sweep(other, 100) == {"answers": 0, "keys": 0, "complete": {False}}
    conn.commit()
    assert sweep(other, 100) == {"answers": 0, "keys": 1, "complete": {True}}


def test_the_pass_is_recorded(dsn: str, make_conn: Connect) -> None:
    """Whether sweeping is overdue can be seen."""
    conn = make_conn(dsn, autocommit=True)
    assert conn.execute("select pass_completed_at from idemdb.sweep_cursor").fetchone() == (None,)
    sweep(conn, 1)
    row = conn.execute(
        "select next_block, pass_completed_at > now() - interval '1 minute' from idemdb.sweep_cursor"
    ).fetchone()
    assert row == (0, True)
