"""What outbox_add, outbox_take, outbox_done and outbox_retry promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from tests.support.wal import assert_writes_nothing

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]


def add(conn: Connection, key: str, payload: str = "1", group: str | None = None, **other: Any) -> Any:
    """Add a message to topic ``t`` and return outcome and id.

    :param other: ``topic``, ``headers`` and ``at``.
    """
    values = [other.get("topic", "t"), key, payload, other.get("headers"), group, other.get("at")]
    with conn.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute("select * from idemdb.outbox_add(%s, %s, %s, %s, %s, %s)", values).fetchone()


def take(conn: Connection, limit: int = 100, lease: str = "1 minute", topic: str = "t") -> list[Any]:
    """Take messages."""
    with conn.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(
            "select * from idemdb.outbox_take(%s, %s, %s)", [topic, limit, lease]
        ).fetchall()


def keys(messages: list[Any]) -> list[str]:
    """List the dedup keys of messages."""
    return [message.dedup_key for message in messages]


def done(conn: Connection, *messages: Any) -> int:
    """Finish messages of one take."""
    ids = [message.id for message in messages]
    row = conn.execute("select idemdb.outbox_done('t', %s, %s)", [messages[0].claim_token, ids]).fetchone()
    assert row is not None
    return int(row[0])


def retry(conn: Connection, message: Any, delay: str = "0", error: str = "boom") -> str:
    """Give a message back."""
    row = conn.execute(
        "select idemdb.outbox_retry('t', %s, %s, %s, %s)", [message.claim_token, message.id, delay, error]
    ).fetchone()
    assert row is not None
    return str(row[0])


def assert_lost(conn: Connection, call: Callable[[], object]) -> None:
    """Assert that a call says that the message is no longer the caller's, and changes nothing."""
    state = "select jsonb_agg(to_jsonb(m) order by m.id) from idemdb.outbox_messages as m"
    before = conn.execute(state).fetchone()
    conn.execute("savepoint before")
    with pytest.raises(psycopg.Error) as caught:
        call()
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == ("ID003", True)
    conn.execute("rollback to before")
    assert conn.execute(state).fetchone() == before


def run_out(conn: Connection) -> None:
    """Let every lease run out."""
    conn.execute(
        "update idemdb.outbox_messages set lease_until = clock_timestamp() where lease_until is not null"
    )


# -- outbox_add


def test_a_dedup_key_is_used_once_per_topic(conn: Connection) -> None:
    first = add(conn, "k", '{"to": "ann"}')
    assert first.outcome == "added"
    assert add(conn, "k", '{"to":   "ann"}') == ("existing", first.id)
    assert add(conn, "k", '{"to": "bob"}') == ("mismatch", first.id)
    assert add(conn, "k", '{"to": "ann"}', "group") == ("mismatch", first.id)
    assert add(conn, "k", '{"to": "ann"}', headers='{"a": 1}', at="2999-01-01") == ("existing", first.id)
    assert add(conn, "k", '{"to": "ann"}', topic="another").outcome == "added"
    assert conn.execute("select count(*) from idemdb.outbox_messages").fetchone() == (2,)


@pytest.mark.parametrize("payload", ["null", "[]", '"text"', "1.00", '{"n": 12345678901234567890}'])
def test_a_payload_goes_out_as_it_came_in(payload: str, conn: Connection) -> None:
    add(conn, "k", payload, "g", headers='{"Link": ["<a>"]}')
    row = conn.execute(
        "select payload::text, headers, group_key from idemdb.outbox_take('t', 1, '1 min')"
    ).fetchone()
    assert row == (payload, {"Link": ["<a>"]}, "g")


def test_a_message_goes_out_only_if_its_transaction_commits(dsn: str, make_conn: Connect) -> None:
    producer, relay = make_conn(dsn), make_conn(dsn, autocommit=True)
    add(producer, "k")
    assert take(relay) == []
    producer.rollback()
    assert take(relay) == []
    add(producer, "k")
    producer.commit()
    assert keys(take(relay)) == ["k"]


def test_the_key_outlives_its_message(conn: Connection) -> None:
    add(conn, "k")
    assert done(conn, *take(conn)) == 1
    assert conn.execute("select count(*) from idemdb.outbox_messages").fetchone() == (0,)
    assert add(conn, "k").outcome == "existing"
    assert add(conn, "k", "2").outcome == "mismatch"
    assert take(conn) == []


def test_keep_for_is_how_long_a_key_is_remembered(conn: Connection) -> None:
    conn.execute("select idemdb.configure('topic', 't', '{\"keep_for\": \"2 days\"}')")
    add(conn, "k")
    add(conn, "k", topic="not configured")
    rows = conn.execute("""
        select topic, round(extract(epoch from forget_at - clock_timestamp()) / 86400) from idemdb.outbox_keys order by 1
    """).fetchall()
    assert rows == [("not configured", 30), ("t", 2)]
    done(conn, *take(conn))
    conn.execute("update idemdb.outbox_keys set forget_at = clock_timestamp()")
    conn.execute("select idemdb.sweep()")
    assert add(conn, "k", "2").outcome == "added"


def test_adding_again_writes_nothing(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn)
    add(conn, "k")
    conn.commit()
    assert_writes_nothing(conn, "outbox_add('t', 'k', '1')", "outbox_add('t', 'k', '2')")


def test_a_read_only_transaction_adds_and_takes_nothing(conn: Connection) -> None:
    add(conn, "k")
    conn.execute("set transaction_read_only = on")
    assert add(conn, "k").outcome == "existing"
    for call in (lambda: add(conn, "new"), lambda: add(conn, "new", topic="unknown"), lambda: take(conn)):
        conn.execute("savepoint before")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            call()
        assert caught.value.diag.message_hint
        conn.execute("rollback to before")


@pytest.mark.parametrize("notify", [True, False])
def test_notify_is_sent_where_it_is_configured(notify: bool, dsn: str, make_conn: Connect) -> None:
    producer, relay = make_conn(dsn), make_conn(dsn, autocommit=True)
    if notify:
        producer.execute("select idemdb.configure('topic', 't', '{\"notify\": true}')")
    relay.execute("listen idemdb_outbox")
    add(producer, "k")
    add(producer, "l")
    assert list(relay.notifies(timeout=0)) == []
    producer.commit()
    relay.execute("select")
    assert [note.payload for note in relay.notifies(timeout=0.2)] == (["t"] if notify else [])


# -- outbox_take


def test_oldest_first_and_no_more_than_asked(conn: Connection) -> None:
    for number in range(30):
        add(conn, f"k{number}", topic="t")
    conn.execute("analyze idemdb.outbox_messages")
    conn.execute("set local enable_nestloop = off")  # whatever the plan
    first, second = take(conn, 20), take(conn, 20)
    assert keys(first) == [f"k{number}" for number in range(20)]
    assert keys(second) == [f"k{number}" for number in range(20, 30)]
    assert [message.id for message in first] == sorted(message.id for message in first)
    assert take(conn) == []


@pytest.mark.parametrize(
    "forbidden", ["hashjoin, mergejoin", "nestloop, mergejoin", "nestloop, hashjoin", "material"]
)
def test_the_limit_holds_under_every_plan(forbidden: str, conn: Connection) -> None:
    for number in range(12):
        add(conn, f"k{number}")
    for plan in forbidden.split(", "):
        conn.execute(f"set local enable_{plan} = off".encode())
    assert keys(take(conn, 3)) == ["k0", "k1", "k2"]


def test_one_claim_token_per_take(conn: Connection) -> None:
    for key in "abcd":
        add(conn, key)
    first, second = take(conn, 2), take(conn, 2)
    assert len({message.claim_token for message in first}) == 1
    assert second[0].claim_token > first[0].claim_token
    assert {message.attempt for message in (*first, *second)} == {1}
    lease = conn.execute(
        "select (details ->> 'lease_until')::timestamptz - clock_timestamp() < interval '1 minute' from unnest(%s::jsonb[]) as details",
        [[Jsonb(first[0].details)]],
    ).fetchone()
    assert lease == (True,)


def test_a_token_is_never_used_twice(dsn: str, make_conn: Connect) -> None:
    """Also when the take that had it was rolled back: its holder may have gone on all the same."""
    conn = make_conn(dsn)
    add(conn, "k")
    conn.commit()
    lost = take(conn)
    conn.rollback()
    (again,) = take(conn)
    assert again.claim_token > lost[0].claim_token
    assert again.attempt == 1
    assert_lost(conn, lambda: done(conn, *lost))


def test_nobody_waits_for_another_taker(dsn: str, make_conn: Connect) -> None:
    one, two = make_conn(dsn), make_conn(dsn)
    for key in "abc":
        add(one, key)
    one.commit()
    two.execute("set lock_timeout = '1ms'")
    two.commit()
    assert keys(take(one, 2)) == ["a", "b"]
    assert keys(take(two)) == ["c"]
    two.commit()
    one.rollback()
    assert keys(take(two)) == ["a", "b"]


def test_a_held_message_is_nobody_elses_until_its_lease_is_over(conn: Connection) -> None:
    add(conn, "k")
    (old,) = take(conn)
    assert take(conn) == []
    run_out(conn)
    (new,) = take(conn)
    assert (new.id, new.attempt) == (old.id, 2)
    assert_lost(conn, lambda: done(conn, old))
    assert_lost(conn, lambda: retry(conn, old))
    assert done(conn, new) == 1
    assert_lost(conn, lambda: done(conn, new))
    assert_lost(conn, lambda: retry(conn, new))


def test_who_is_late_but_alone_still_finishes(conn: Connection) -> None:
    add(conn, "a")
    add(conn, "b")
    one, two = take(conn)
    run_out(conn)
    assert retry(conn, one, "1 hour") == "retrying"
    assert done(conn, two) == 1


def test_a_message_is_not_taken_before_its_time(conn: Connection) -> None:
    row = conn.execute("select clock_timestamp() + interval '1 hour'").fetchone()
    assert row is not None
    add(conn, "later", at=row[0])
    add(conn, "now")
    assert keys(take(conn)) == ["now"]
    conn.execute("update idemdb.outbox_messages set available_at = clock_timestamp()")
    assert keys(take(conn)) == ["later"]


def test_topics_do_not_meet(conn: Connection) -> None:
    add(conn, "k")
    add(conn, "k", topic="u")
    (of_t,) = take(conn)
    assert keys(take(conn, topic="u")) == ["k"]
    assert take(conn, topic="unknown") == []
    with pytest.raises(psycopg.Error, match="no longer held"):
        conn.execute("select idemdb.outbox_done('u', %s, %s)", [of_t.claim_token, [of_t.id]])


def test_a_group_is_delivered_in_its_order(conn: Connection) -> None:
    for key, group in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("free", None), ("a3", "a"), ("b2", "b")):
        add(conn, key, group=group)
    a1, b1, free = take(conn)
    assert keys([a1, b1, free]) == ["a1", "b1", "free"]
    assert take(conn) == []  # what is held holds back its group
    done(conn, b1, free)
    assert keys(take(conn)) == ["b2"]
    assert retry(conn, a1, "1 hour") == "retrying"
    assert take(conn) == []  # and so does what waits for its retry
    conn.execute("update idemdb.outbox_messages set available_at = clock_timestamp()")
    (a1,) = take(conn)
    assert (a1.dedup_key, a1.attempt) == ("a1", 2)
    done(conn, a1)
    assert keys(take(conn)) == ["a2"]
    run_out(conn)
    assert keys(take(conn)) == ["a2", "b2"]  # an expired lease does not let the next one pass


def test_the_same_group_of_two_topics_is_two_groups(conn: Connection) -> None:
    add(conn, "k", group="g")
    add(conn, "k", group="g", topic="u")
    assert keys(take(conn, topic="u")) == ["k"]
    assert keys(take(conn)) == ["k"]


# -- outbox_done and outbox_retry


def test_none_is_finished_where_one_is_lost(conn: Connection) -> None:
    add(conn, "a")
    add(conn, "b")
    both = take(conn)
    retry(conn, both[0])
    assert_lost(conn, lambda: done(conn, *both))
    assert done(conn, both[1]) == 1


def test_finishing_a_message_named_twice(conn: Connection) -> None:
    add(conn, "a")
    (message,) = take(conn)
    assert done(conn, message, message) == 1
    assert conn.execute("select idemdb.outbox_done('t', 1, '{}')").fetchone() == (0,)


def test_a_retry_waits_for_its_delay(conn: Connection) -> None:
    add(conn, "k")
    (message,) = take(conn)
    assert retry(conn, message, "10 seconds", "no route") == "retrying"
    row = conn.execute("""
        select available_at - clock_timestamp() between interval '9 seconds' and interval '10 seconds', last_error,
            lease_until, claim_token from idemdb.outbox_messages
    """).fetchone()
    assert row == (True, "no route", None, None)
    assert take(conn) == []


def test_a_message_dies_after_max_attempts(conn: Connection) -> None:
    """A dead one neither goes out nor holds back its group, and its key stays."""
    conn.execute("select idemdb.configure('topic', 't', '{\"max_attempts\": 2}')")
    add(conn, "bad", group="g")
    add(conn, "good", group="g")
    (bad,) = take(conn)
    assert retry(conn, bad) == "retrying"
    (bad,) = take(conn)
    assert retry(conn, bad, error="bang") == "dead"
    assert_lost(conn, lambda: retry(conn, bad))
    assert_lost(conn, lambda: done(conn, bad))
    assert keys(take(conn)) == ["good"]
    rows = conn.execute("select kind, name, id, attempts, last_error from idemdb.dead_letters").fetchall()
    assert rows == [("topic", "t", str(bad.id), 2, "bang")]
    assert add(conn, "bad", group="g").outcome == "existing"


def test_an_abandoned_attempt_counts(conn: Connection) -> None:
    """A message that kills whoever delivers it dies, too, at its first answer after max_attempts."""
    add(conn, "k")
    for _ in range(4):
        take(conn)
        run_out(conn)
    (message,) = take(conn)
    assert message.attempt == 5
    assert retry(conn, message) == "dead"


def test_a_message_that_nobody_survives_dies(conn: Connection) -> None:
    """One that kills every taker is not taken for ever: after max_attempts without an answer it is dead."""
    add(conn, "k")
    for _ in range(5):
        assert keys(take(conn)) == ["k"]
        run_out(conn)
    assert take(conn) == []
    rows = conn.execute("select id, attempts, last_error from idemdb.dead_letters").fetchall()
    assert [(attempts, error) for _, attempts, error in rows] == [(5, "its taker never came back")]


@pytest.mark.parametrize("action", ["replay", "drop"])
def test_a_dead_message_is_replayed_or_dropped(action: str, conn: Connection) -> None:
    conn.execute("select idemdb.configure('topic', 't', '{\"max_attempts\": 1}')")
    add(conn, "k")
    (message,) = take(conn)
    retry(conn, message, "1 hour")
    call = "select idemdb.dead_letter('topic', 't', %s, %s)"
    row = conn.execute(call, [str(message.id), action]).fetchone()
    assert row == ("replayed" if action == "replay" else "dropped",)
    assert conn.execute("select * from idemdb.dead_letters").fetchall() == []
    assert [(m.dedup_key, m.attempt) for m in take(conn)] == ([("k", 1)] if action == "replay" else [])
    assert add(conn, "k").outcome == "existing"
    rows = conn.execute("select action, scope, key from idemdb.audit").fetchall()
    assert rows == [(f"dead_letter:topic:{action}", "t", str(message.id))]
    with pytest.raises(psycopg.Error, match="no dead letter"):
        conn.execute(call, [str(message.id), action])


def test_the_overview_counts(conn: Connection) -> None:
    conn.execute("select idemdb.configure('topic', 't', '{\"max_attempts\": 1, \"notify\": true}')")
    for key in ("dead", "taken", "abandoned", "waiting"):
        add(conn, key)
    add(conn, "delayed", at="2999-01-01")
    (dead,) = take(conn, 1)
    retry(conn, dead)
    take(conn, 1)
    (abandoned,) = take(conn, 1)
    conn.execute(
        "update idemdb.outbox_messages set lease_until = clock_timestamp() where id = %s", [abandoned.id]
    )
    row = conn.execute("""
        select topic, waiting, delayed, taken, abandoned, dead, oldest_created_at is not null, settings
        from idemdb.outbox_overview
    """).fetchone()
    assert row == ("t", 1, 1, 1, 1, 1, True, {"keep_for": "30 days", "max_attempts": 1, "notify": True})


def test_taking_and_retrying_are_heap_only(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn, autocommit=True)
    for number in range(20):
        add(conn, f"k{number}", group=f"g{number}")
    for message in take(conn):
        retry(conn, message)
    conn.execute("select pg_stat_force_next_flush()")
    row = conn.execute(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'outbox_messages'"
    ).fetchone()
    assert row is not None
    assert row[0] == 40
    assert row[1] >= 36
