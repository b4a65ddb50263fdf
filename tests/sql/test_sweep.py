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
PASSES = {
    "answers": "keys",
    "keys": "keys",
    "dedup_keys": "outbox_keys",
    "events": "inbox",
    "failures": "event_failures",
}


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
    assert conn.execute("select distinct pass_completed_at from idemdb.sweep_cursor").fetchall() == [(None,)]
    sweep(conn, 1)
    rows = conn.execute(
        "select distinct next_block, pass_completed_at > now() - interval '1 minute' from idemdb.sweep_cursor"
    ).fetchall()
    assert rows == [(0, True)]


def test_events_go_in_steps(dsn: str, make_conn: Connect) -> None:
    """As keys do; and what is still remembered stays."""
    conn = make_conn(dsn, autocommit=True)
    conn.execute(EVENTS, ["-1 second", 5000])
    conn.execute(EVENTS, ["1 day", 10])
    removed = calls = 0
    complete = False
    while not complete:
        result = sweep(conn, 700, "inbox")
        assert result["events"] <= 700
        removed += result["events"]
        complete = result["complete"] == {True}
        calls += 1
        assert calls < 100
    assert removed == 5000
    assert calls > 5
    assert conn.execute("select count(*) from idemdb.inbox").fetchone() == (10,)


def test_dead_letters_stay(conn: psycopg.Connection[Any]) -> None:
    """Failures that nobody repeats are forgotten; a dead event and its letter wait for a person."""
    conn.execute("select idemdb.configure('consumer', 'c', '{\"max_attempts\": 2}')")
    for event in ("dead", "dead", "failing"):
        conn.execute("select idemdb.process_failed('c', %s, 'boom')", [event])
    assert sweep(conn, 9, "event_failures")["failures"] == 0
    conn.execute("update idemdb.inbox set forget_at = now() - interval '1 year'")
    conn.execute("update idemdb.event_failures set forget_at = now() - interval '1 year'")
    assert sweep(conn, 9, "event_failures") == {"failures": 1, "complete": {True}}
    assert sweep(conn, 9, "inbox") == {"events": 0, "complete": {True}}
    assert conn.execute("select id from idemdb.dead_letters").fetchall() == [("dead",)]
    assert conn.execute("select idemdb.process('c', 'dead')").fetchone() == ("dead",)
    conn.execute("select idemdb.dead_letter('consumer', 'c', 'dead', 'replay')")
    assert conn.execute("select idemdb.process_failed('c', 'failing', 'boom')").fetchone() == ("retrying",)


def test_a_waiting_message_keeps_its_dedup_key(conn: psycopg.Connection[Any]) -> None:
    """Delivered ones are forgotten at keep_for; one that waits or is dead could go out twice without its key."""
    conn.execute("select idemdb.configure('topic', 't', '{\"max_attempts\": 1}')")
    for key in ("dead", "delivered", "taken", "waiting"):
        conn.execute("select idemdb.outbox_add('t', %s, '1')", [key])
    taken = conn.execute("select id, claim_token from idemdb.outbox_take('t', 3, '1 minute')").fetchall()
    (dead, token), (delivered, _), _ = taken
    conn.execute("select idemdb.outbox_retry('t', %s, %s, '0', 'boom')", [token, dead])
    conn.execute("select idemdb.outbox_done('t', %s, %s)", [token, [delivered]])
    assert sweep(conn, 9, "outbox_keys")["dedup_keys"] == 0
    conn.execute("update idemdb.outbox_keys set forget_at = now() - interval '1 year'")
    assert sweep(conn, 9, "outbox_keys") == {"dedup_keys": 1, "complete": {True}}
    rows = conn.execute("select dedup_key from idemdb.outbox_keys order by 1").fetchall()
    assert rows == [("dead",), ("taken",), ("waiting",)]
    row = conn.execute("select outcome from idemdb.outbox_add('t', 'dead', '1')").fetchone()
    assert row == ("existing",)


def test_a_kind_that_is_busy_does_not_stop_the_others(dsn: str, make_conn: Connect) -> None:
    """The limit holds for each table of its own."""
    conn = make_conn(dsn)
    conn.execute(FILL, ["-1 second", "-2 seconds", 10])
    conn.execute(EVENTS, ["-1 second", 10])
    rows = conn.execute(
        "select what, removed from idemdb.sweep(4) where removed > 0 and what <> 'answers' order by what"
    ).fetchall()
    assert rows == [("events", 4), ("keys", 4)]


def test_streams_and_versions_are_kept_for_good(conn: psycopg.Connection[Any]) -> None:
    conn.execute("select idemdb.process_offsets('c', 's', '{1}'), idemdb.advance('c', 'x', 2)")
    sweep(conn, 100)
    row = conn.execute(
        "select idemdb.process_offsets('c', 's', '{1}'), idemdb.advance('c', 'x', 1)"
    ).fetchone()
    assert row == ([], "stale")
