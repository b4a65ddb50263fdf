"""What process, process_many, process_failed, process_offsets and advance promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import sized
from tests.support.wal import assert_writes_nothing, wal_of

Connection = psycopg.Connection[Any]
Connect = Callable[..., Connection]

AGO = "clock_timestamp() - interval '{}'"


def process(conn: Connection, event: str, at: str = "null", consumer: str = "c") -> str:
    """Process an event; ``at`` is SQL."""
    row = conn.execute(f"select idemdb.process(%s, %s, {at})", [consumer, event]).fetchone()
    assert row is not None
    return str(row[0])


def process_many(conn: Connection, *events: str, at: str = "null", consumer: str = "c") -> list[str]:
    """Process a batch and return the outcome of each position, in order."""
    rows = conn.execute(
        f"select item, event_id, outcome from idemdb.process_many(%s, %s, {at})", [consumer, list(events)]
    ).fetchall()
    assert [(item, event) for item, event, _ in rows] == list(enumerate(events, 1))
    return [outcome for _, _, outcome in rows]


def fail(conn: Connection, event: str, error: str | None = "boom", consumer: str = "c") -> str:
    """Count a failure."""
    row = conn.execute("select idemdb.process_failed(%s, %s, %s)", [consumer, event, error]).fetchone()
    assert row is not None
    return str(row[0])


def configure(conn: Connection, settings: str, consumer: str = "c") -> None:
    """Set the consumer's settings."""
    conn.execute("select idemdb.configure('consumer', %s, %s)", [consumer, settings])


def dead_letters(conn: Connection) -> list[Any]:
    """List the dead letters."""
    return conn.execute("select kind, name, id, attempts, last_error from idemdb.dead_letters").fetchall()


def settle(conn: Connection, event: str, action: str) -> str:
    """Decide about a dead event."""
    row = conn.execute("select idemdb.dead_letter('consumer', 'c', %s, %s)", [event, action]).fetchone()
    assert row is not None
    return str(row[0])


def both(conn: Connection, event: str, at: str = "null") -> str:
    """Process an event by either function, which must agree; only the second one's effect stays."""
    conn.execute("savepoint one")
    alone = process(conn, event, at)
    conn.execute("rollback to one")
    in_batch = process_many(conn, event, at="null" if at == "null" else f"array[{at}]")
    assert in_batch == [alone]
    return alone


# -- process and process_many


def test_an_event_is_new_once_per_consumer(conn: Connection) -> None:
    assert both(conn, "e") == "first_seen"
    assert both(conn, "e") == "duplicate"
    assert process(conn, "e", consumer="another") == "first_seen"
    assert process_many(conn, "e", consumer="another") == ["duplicate"]


def test_names_that_run_together_are_different(conn: Connection) -> None:
    """Consumer and event id are kept as one digest, but not as one string."""
    assert process(conn, "bc", consumer="a") == "first_seen"
    assert process(conn, "c", consumer="ab") == "first_seen"


@pytest.mark.parametrize("event", ["e ", " e", "E", "\u00e9", "e\u0301", "€" * 85, "\\", "'", "%s"])
def test_event_ids_are_bytes(event: str, conn: Connection) -> None:
    assert process(conn, "e") == "first_seen"
    assert both(conn, event) == "first_seen"
    assert both(conn, event) == "duplicate"


def test_a_transaction_that_fails_leaves_the_event_new(dsn: str, make_conn: Connect) -> None:
    conn, other = make_conn(dsn), make_conn(dsn)
    process(conn, "e")
    process_many(conn, "f", "g")
    conn.rollback()
    assert process_many(other, "e", "f", "g") == ["first_seen"] * 3
    other.commit()
    assert process(conn, "e") == "duplicate"


def test_a_savepoint_takes_the_event_back(conn: Connection) -> None:
    conn.execute("savepoint before")
    assert process(conn, "e") == "first_seen"
    conn.execute("rollback to before")
    assert process(conn, "e") == "first_seen"


def test_duplicates_in_a_batch_are_told_by_position(conn: Connection) -> None:
    process(conn, "old")
    assert process_many(conn, "a", "old", "b", "a", "old", "a") == [
        "first_seen",
        "duplicate",
        "first_seen",
        "duplicate",
        "duplicate",
        "duplicate",
    ]
    assert process_many(conn) == []


def test_a_batch_with_times(conn: Connection) -> None:
    """Each position is judged by its own time; one that is not known does no harm."""
    configure(conn, '{"keep_for": "1 day"}')
    times = f"array[{AGO.format('1 hour')}, {AGO.format('2 days')}, null, {AGO.format('2 days')}]"
    assert process_many(conn, "new", "old", "unknown", "old", at=times) == [
        "first_seen",
        "too_old",
        "first_seen",
        "too_old",
    ]
    assert process_many(conn, "new", "old", "unknown", "old", at=times)[::2] == ["duplicate", "duplicate"]
    assert process(conn, "old") == "first_seen"  # nothing was remembered of it


def test_too_old_is_not_stored_and_never_run(conn: Connection) -> None:
    configure(conn, '{"keep_for": "1 hour"}')
    for _ in range(2):
        assert both(conn, "e", AGO.format("61 minutes")) == "too_old"
    assert conn.execute("select count(*) from idemdb.inbox").fetchone() == (0,)
    assert both(conn, "e", AGO.format("59 minutes")) == "first_seen"
    assert both(conn, "e", AGO.format("61 minutes")) == "duplicate"  # it is remembered, whatever its time


def test_thirty_days_where_nothing_is_configured(conn: Connection) -> None:
    assert both(conn, "e", AGO.format("30 days 1 minute")) == "too_old"
    assert both(conn, "e", AGO.format("29 days 23 hours")) == "first_seen"


@pytest.mark.parametrize("way", ["process('c', 'e', {})", "process_many('c', '{{e}}', array[{}])"])
@pytest.mark.parametrize(
    ("at", "days"), [("null", 3), (AGO.format("2 days"), 3), ("clock_timestamp() + interval '2 days'", 5)]
)
def test_it_is_remembered_from_the_later_of_both_times(
    way: str, at: str, days: int, conn: Connection
) -> None:
    """keep_for counts from the event's time or its arrival, whichever is later: also for an event of the future."""
    configure(conn, '{"keep_for": "3 days"}')
    if at == "null":
        at = "null::timestamptz"
    conn.execute(f"select idemdb.{way.format(at)}".encode())
    row = conn.execute(
        "select round(extract(epoch from forget_at - clock_timestamp()) / 3600) from idemdb.inbox"
    ).fetchone()
    assert row == (days * 24,)


def test_a_redelivery_is_never_new_again(conn: Connection) -> None:
    """Whenever it comes, with its time: known until it is forgotten, and from then on too old."""
    configure(conn, '{"keep_for": "1 day"}')
    at = f"({AGO.format('20 hours')})"
    assert process(conn, "e", at) == "first_seen"
    conn.execute("update idemdb.inbox set forget_at = forget_at - interval '25 hours'")
    conn.execute("select idemdb.sweep()")
    assert conn.execute("select count(*) from idemdb.inbox").fetchone() == (0,)
    assert both(conn, "e", f"{at} - interval '25 hours'") == "too_old"


def test_a_duplicate_writes_nothing(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn)
    process_many(conn, "e", "f")
    configure(conn, '{"max_attempts": 1}', "d")
    fail(conn, "dead", consumer="d")
    conn.commit()
    assert process(conn, "late", AGO.format("1 year")) == "too_old"
    assert_writes_nothing(
        conn,
        "process('c', 'e')",
        "process_many('c', '{e,f,e}')",
        "process('d', 'dead')",
        "process_many('d', '{dead}')",
        f"process('c', 'late', {AGO.format('1 year')})",
        f"process_many('c', '{{late}}', array[{AGO.format('1 year')}])",
    )


def test_what_is_new_does_write(dsn: str, make_conn: Connect) -> None:
    """Canary of the test above; and how much it may be."""
    conn = make_conn(dsn, autocommit=True)
    process(conn, "first of the page")
    assert 0 < wal_of(conn, "process('c', 'e')") < 400
    with pytest.raises(AssertionError):
        assert_writes_nothing(make_conn(dsn), "process('c', 'f')")


def test_reading_is_enough_for_a_duplicate(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn, autocommit=True)
    process(conn, "e")
    conn.execute("set default_transaction_read_only = on")
    assert process(conn, "e") == "duplicate"
    for call in (
        "process('c', 'f')",
        "process('unknown', 'f')",
        "process_many('c', '{f}')",
        "process_failed('c', 'f', 'boom')",
        "process_offsets('c', 's', '{1}')",
        "advance('c', 'x', 1)",
    ):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            conn.execute(f"select idemdb.{call}".encode())
        assert caught.value.diag.message_hint, call


def test_a_row_is_small(dsn: str, make_conn: Connect) -> None:
    """Table and index together, after the worst order of arrival, whatever the length of the names."""
    conn = make_conn(dsn, autocommit=True)
    for batch in range(10):
        events = [f"{'a long event id ' * 8}{batch}/{number}" for number in range(1000)]
        process_many(conn, *events, consumer="a consumer with quite a long name")
    row = conn.execute("select pg_total_relation_size('idemdb.inbox') / 10000.0").fetchone()
    assert row is not None
    assert row[0] < 150


def test_a_batch_reads_its_own_events_only(dsn: str, make_conn: Connect) -> None:
    """However many the consumer remembers: no plan may read them all, not even without statistics."""
    conn = make_conn(dsn, autocommit=True)
    for batch in range(10):
        process_many(conn, *(f"{batch}/{number}" for number in range(1000)))
    call = "explain (analyze, buffers, format json) select * from idemdb.process_many('c', '{0/1,1/2,9/3}')"
    conn.execute(call)  # reads the catalogue
    row = conn.execute(call).fetchone()
    blocks = conn.execute("select pg_relation_size('idemdb.inbox') / 8192").fetchone()
    assert row is not None
    assert blocks is not None
    assert row[0][0]["Plan"]["Shared Hit Blocks"] < blocks[0] / 2


# -- dead letters


def test_an_event_dies_after_max_attempts(conn: Connection) -> None:
    configure(conn, '{"max_attempts": 3}')
    for _ in range(2):
        assert fail(conn, "e", "boom") == "retrying"
        conn.execute("savepoint handling")
        assert both(conn, "e") == "first_seen"  # tried again, and failed
        conn.execute("rollback to handling")
    assert fail(conn, "e", "bang") == "dead"
    assert fail(conn, "e", "bang") == "dead"
    assert both(conn, "e") == "dead"
    assert both(conn, "e", AGO.format("1 year")) == "dead"
    assert dead_letters(conn) == [("consumer", "c", "e", 4, "bang")]
    assert process(conn, "e", consumer="another") == "first_seen"


def test_five_attempts_where_nothing_is_configured(conn: Connection) -> None:
    assert [fail(conn, "e") for _ in range(5)] == ["retrying"] * 4 + ["dead"]


@pytest.mark.parametrize("many", [False, True])
def test_success_ends_the_count(many: bool, conn: Connection) -> None:
    configure(conn, '{"max_attempts": 2}')
    fail(conn, "e")
    fail(conn, "another")
    assert (process_many(conn, "e") if many else [process(conn, "e")]) == ["first_seen"]
    assert conn.execute("select event_id from idemdb.event_failures").fetchall() == [("another",)]


def test_a_handled_event_does_not_die(conn: Connection) -> None:
    """Its consumer did not hear of the commit: nothing is counted, and it stays a duplicate."""
    configure(conn, '{"max_attempts": 1}')
    process(conn, "e")
    assert fail(conn, "e") == "retrying"
    assert both(conn, "e") == "duplicate"
    assert conn.execute("select count(*) from idemdb.event_failures").fetchone() == (0,)


def test_an_error_may_be_null(conn: Connection) -> None:
    assert fail(conn, "e", None) == "retrying"


def test_a_replayed_letter_is_new_with_fresh_attempts(conn: Connection) -> None:
    configure(conn, '{"max_attempts": 2}')
    fail(conn, "e")
    fail(conn, "e")
    assert settle(conn, "e", "replay") == "replayed"
    assert dead_letters(conn) == []
    assert fail(conn, "e") == "retrying"
    assert both(conn, "e") == "first_seen"


def test_a_dropped_letter_is_a_duplicate(conn: Connection) -> None:
    """Remembered from the decision on, however long the letter was dead before."""
    configure(conn, '{"max_attempts": 1, "keep_for": "1 day"}')
    fail(conn, "e")
    conn.execute("update idemdb.inbox set forget_at = clock_timestamp() - interval '1 day'")
    assert settle(conn, "e", "drop") == "dropped"
    assert dead_letters(conn) == []
    assert both(conn, "e") == "duplicate"
    conn.execute("select idemdb.sweep()")
    assert both(conn, "e") == "duplicate"


def test_decisions_are_audited(conn: Connection) -> None:
    configure(conn, '{"max_attempts": 1}')
    for event, action in (("e", "replay"), ("f", "drop")):
        fail(conn, event)
        settle(conn, event, action)
    rows = conn.execute("select actor, action, scope, key from idemdb.audit order by id").fetchall()
    user = conn.info.user
    assert [(actor.split("/")[0], *rest) for actor, *rest in rows] == [
        (user, "dead_letter:consumer:replay", "c", "e"),
        (user, "dead_letter:consumer:drop", "c", "f"),
    ]


@pytest.mark.parametrize("action", ["replay", "drop"])
def test_what_lives_cannot_be_settled(action: str, conn: Connection) -> None:
    process(conn, "handled")
    fail(conn, "failing")
    for event in ("handled", "failing", "unknown"):
        conn.execute("savepoint before")
        with pytest.raises(psycopg.Error, match="no dead letter") as caught:
            settle(conn, event, action)
        assert caught.value.sqlstate == "ID004"
        conn.execute("rollback to before")
    assert conn.execute("select count(*) from idemdb.audit").fetchone() == (0,)


def test_the_overview_counts(conn: Connection) -> None:
    configure(conn, '{"max_attempts": 2, "keep_for": "7 days"}')
    process_many(conn, "a", "b", "c")
    fail(conn, "retrying")
    fail(conn, "dead")
    fail(conn, "dead")
    conn.execute("select idemdb.process_offsets('c', 's', '{1}'), idemdb.advance('c', 'x', 1)")
    process(conn, "e", consumer="met on the way")
    rows = conn.execute("""
        select consumer, remembered, retrying, dead, last_failed_at is not null, streams, entities, settings
        from idemdb.event_overview order by consumer
    """).fetchall()
    assert rows == [
        ("c", 3, 1, 1, True, 1, 1, {"keep_for": "7 days", "max_attempts": 2}),
        ("met on the way", 1, 0, 0, False, 0, 0, {"keep_for": "30 days", "max_attempts": 5}),
    ]


# -- process_offsets


def offsets(conn: Connection, batch: list[int], floor: int | None = None, stream: str = "s") -> list[int]:
    """Process a batch of offsets."""
    row = conn.execute(
        "select idemdb.process_offsets('c', %s, %s::bigint[], %s)", [stream, batch, floor]
    ).fetchone()
    assert row is not None
    return list(row[0])


def seen(conn: Connection) -> list[Any]:
    """Return the state of each stream."""
    return conn.execute("select stream, seen::text from idemdb.streams order by stream").fetchall()


batches = st.lists(
    st.tuples(
        st.lists(st.integers(0, 40) | st.integers(2**63 - 4, 2**63 - 2), max_size=12),
        st.none() | st.integers(0, 45),
    ),
    max_size=8,
)


@given(batches=batches)
@sized(150, large=3000)
def test_offsets_are_exact(batches: list[tuple[list[int], int | None]], conn: Connection) -> None:
    """Out of order, overlapping, repeated, with gaps and floors: as a set of numbers would have it."""
    model: set[int] = set()
    lowest = 0
    conn.execute("savepoint example")
    for batch, floor in batches:
        lowest = max(lowest, floor or 0)
        new = sorted({offset for offset in batch if offset >= lowest} - model)
        assert offsets(conn, batch, floor) == new
        model |= set(batch)
    conn.execute("rollback to example")


def test_a_stream_in_order_is_one_range(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn, autocommit=True)
    for start in range(0, 100_000, 1000):
        assert len(offsets(conn, list(range(start, start + 1000)))) == 1000
    assert seen(conn) == [("s", "{[0,100000)}")]
    row = conn.execute("select pg_column_size(seen) from idemdb.streams").fetchone()
    assert row is not None
    assert row[0] < 100
    conn.execute("vacuum idemdb.streams")
    row = conn.execute("select pg_relation_size('idemdb.streams')").fetchone()
    assert row is not None
    assert row[0] <= 4 * 8192


def test_the_floor_collapses_gaps(conn: Connection) -> None:
    assert offsets(conn, [5, 3, 9]) == [3, 5, 9]
    assert seen(conn) == [("s", "{[3,4),[5,6),[9,10)}")]
    assert offsets(conn, [4, 8, 10], 9) == [10]
    assert seen(conn) == [("s", "{[0,11)}")]
    assert offsets(conn, [], 20) == []
    assert offsets(conn, [19, 20]) == [20]
    assert offsets(conn, [30], 5) == [30]  # a lower floor takes nothing back
    assert seen(conn) == [("s", "{[0,21),[30,31)}")]


def test_streams_and_consumers_do_not_meet(conn: Connection) -> None:
    assert offsets(conn, [1], stream="s") == [1]
    assert offsets(conn, [1], stream="t") == [1]
    assert conn.execute("select idemdb.process_offsets('d', 's', '{1}')").fetchone() == ([1],)


def test_seen_offsets_write_nothing(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn)
    offsets(conn, list(range(100)))
    conn.commit()
    assert_writes_nothing(
        conn,
        "process_offsets('c', 's', '{5,3,5}')",
        "process_offsets('c', 's', '{98}', 50)",
        "process_offsets('c', 's', '{}')",
        "process_offsets('c', 'never used', '{}')",
    )


def test_a_thousand_offsets_in_order_write_less_than_a_kilobyte(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn, autocommit=True)
    offsets(conn, [0])
    batch = "process_offsets('c', 's', array(select generate_series({}, {})))"
    wal_of(conn, batch.format(1, 1000))
    assert 0 < wal_of(conn, batch.format(1001, 2000)) < 1000


def test_a_rollback_takes_offsets_back(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn)
    offsets(conn, [1, 2])
    conn.rollback()
    assert offsets(conn, [2, 3]) == [2, 3]


# -- advance


def advance(conn: Connection, version: int, entity: str = "x") -> str:
    """Advance an entity."""
    row = conn.execute("select idemdb.advance('c', %s, %s)", [entity, version]).fetchone()
    assert row is not None
    return str(row[0])


@given(versions=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=12))
@sized(60, large=1000)
def test_the_newest_version_wins(versions: list[int], conn: Connection) -> None:
    conn.execute("savepoint example")
    newest: int | None = None
    for version in versions:
        expected = "applied" if newest is None or version > newest else "stale"
        assert advance(conn, version) == expected
        newest = version if newest is None else max(newest, version)
    conn.execute("rollback to example")


def test_entities_and_consumers_do_not_meet(conn: Connection) -> None:
    assert advance(conn, 5) == "applied"
    assert advance(conn, 4, "y") == "applied"
    assert conn.execute("select idemdb.advance('d', 'x', 1)").fetchone() == ("applied",)


def test_a_stale_version_writes_nothing(dsn: str, make_conn: Connect) -> None:
    conn = make_conn(dsn)
    advance(conn, 5)
    conn.commit()
    assert_writes_nothing(conn, "advance('c', 'x', 5)", "advance('c', 'x', -5)")


def test_versions_are_advanced_in_place(dsn: str, make_conn: Connect) -> None:
    """Every update of a version and of a stream is heap-only: no index grows."""
    conn = make_conn(dsn, autocommit=True)
    for number in range(20):
        advance(conn, number)
        offsets(conn, [number])
    conn.execute("select pg_stat_force_next_flush()")
    rows = conn.execute("""
        select relname, n_tup_upd = n_tup_hot_upd and n_tup_upd > 0 from pg_stat_user_tables
        where relname in ('entity_versions', 'streams') order by 1
    """).fetchall()
    assert rows == [("entity_versions", True), ("streams", True)]
