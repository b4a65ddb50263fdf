"""What claim, complete and their companions promise beyond the table of states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from idemdb import resources
from idemdb.embedded import EmbeddedPostgres
from tests.support.database import Server

Connect = Callable[..., psycopg.Connection[Any]]
CLAIM = r"select * from idemdb.claim('s', %s, '\x', %s, '0', %s)"


def claim(
    conn: psycopg.Connection[Any], key: str, lease: str | None = None, options: str | None = None
) -> Any:
    """Claim a key and return the whole answer as a named row."""
    with conn.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute(CLAIM, [key, lease, options]).fetchone()


def lookup(conn: psycopg.Connection[Any], key: str) -> Any:
    """Return the key's record as a named row."""
    with conn.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute("select * from idemdb.lookup('s', %s)", [key]).fetchone()


def age(conn: psycopg.Connection[Any], key: str, columns: str) -> None:
    """Commit, then set the key's clock columns."""
    conn.execute(f"update idemdb.keys set {columns} where key = %s", [key])
    conn.commit()


def test_an_answer_is_replayed_byte_for_byte(dsn: str, make_conn: Connect) -> None:
    """Status, headers, body, result and reference come back as they went in."""
    conn = make_conn(dsn)
    body = bytes(range(256)) * 300
    started = claim(conn, "k")
    conn.execute(
        "select idemdb.complete('s', 'k', %s, 201, %s, %s, %s, 'payment/7')",
        [started.claim_token, '{"Link": ["<a>", "<b>"]}', body, '{"n": 1.00, "big": 12345678901234567890}'],
    )
    conn.commit()
    replayed = claim(conn, "k")
    assert (replayed.outcome, replayed.status, replayed.body, replayed.reference) == (
        "replayed",
        201,
        body,
        "payment/7",
    )
    assert replayed.headers == {"Link": ["<a>", "<b>"]}
    assert conn.execute("select result::text from idemdb.lookup('s', 'k')").fetchone() == (
        '{"n": 1.00, "big": 12345678901234567890}',
    )
    assert (replayed.claim_token, replayed.attempt, replayed.claimed_at) == (None, 1, started.claimed_at)
    assert replayed.completed_at > started.claimed_at


def test_a_replay_assigns_and_holds_nothing(dsn: str, make_conn: Connect) -> None:
    """No transaction id, no dead tuple, no lock that outlives the call."""
    conn, judge = make_conn(dsn), make_conn(dsn, autocommit=True)
    repeat(conn, first=True)
    repeat(conn)
    assert conn.execute("select pg_current_xact_id_if_assigned()").fetchone() == (None,)
    locks = conn.execute(
        "select distinct mode from pg_locks where pid = pg_backend_pid() and locktype <> 'virtualxid'"
    )
    assert locks.fetchall() == [("AccessShareLock",)]
    conn.commit()
    judge.execute("select pg_stat_force_next_flush()")
    assert judge.execute("select n_dead_tup from pg_stat_user_tables where relname = 'keys'").fetchone() == (
        0,
    )


def test_a_replay_writes_no_wal(server: Server) -> None:
    """On a server of its own, where nobody else writes."""
    with (
        EmbeddedPostgres(bindir=server.bindir, settings={"autovacuum": "off"}) as alone,
        psycopg.connect(alone.dsn, autocommit=True) as conn,
    ):
        for number in resources.releases():
            for name in ("upgrade.sql", "roles.sql"):
                conn.execute(resources.release_file(number, name).read_bytes())
        repeat(conn, first=True)
        repeat(conn)  # first touches may set hint bits
        conn.execute("checkpoint")
        before = conn.execute("select pg_current_wal_insert_lsn()").fetchone()
        for _ in range(20):
            repeat(conn)
        assert conn.execute("select pg_current_wal_insert_lsn()").fetchone() == before


def repeat(conn: psycopg.Connection[Any], *, first: bool = False) -> None:
    """Claim one key and execute another, for the first time or again."""
    if first:
        conn.execute("create function public.echo(jsonb) returns jsonb language sql as 'select $1'")
    outcome = "started" if first else "replayed"
    assert claim(conn, "k").outcome == outcome
    assert conn.execute("select outcome from idemdb.execute('s', 'e', 'public.echo', '{}')").fetchone() == (
        outcome,
    )
    if first:
        conn.commit()


def test_windows_come_from_the_options(conn: psycopg.Connection[Any]) -> None:
    """replay_for counts from completion, keep_for from the claim; defaults fill in what is not given."""
    windows = "extract(epoch from replay_until - completed_at), extract(epoch from forget_at - claimed_at)"
    cases = {
        None: (86400, 30 * 86400),
        '{"replay_for": "1 hour"}': (3600, 30 * 86400),
        '{"keep_for": "1 hour"}': (3600, 3600),
        '{"replay_for": "40 days"}': (40 * 86400, 40 * 86400),
        '{"replay_for": "1 hour", "keep_for": "2 hours", "abandoned": null, "raise": null}': (3600, 7200),
    }
    for number, (options, expected) in enumerate(cases.items()):
        key = f"k{number}"
        conn.execute(
            "select idemdb.complete('s', %s, %s)", [key, claim(conn, key, None, options).claim_token]
        )
        row = conn.execute(f"select {windows} from idemdb.lookup('s', %s)", [key]).fetchone()
        assert row is not None
        assert [round(float(seconds)) for seconds in row] == list(expected), options


def test_raise_turns_outcomes_into_errors(dsn: str, make_conn: Connect) -> None:
    """ID001 and ID002, only on request."""
    conn = make_conn(dsn, autocommit=True)
    claim(conn, "k", "1 minute")
    with pytest.raises(psycopg.Error, match="in progress") as caught:
        claim(conn, "k", "1 minute", '{"raise": true}')
    assert caught.value.sqlstate == "ID001"
    assert '"retry_after_ms": 59' in (caught.value.diag.message_detail or "")
    with pytest.raises(psycopg.Error, match="another request") as caught:
        conn.execute("select idemdb.claim('s', 'k', '\\x01', null, null, '{\"raise\": true}')")
    assert caught.value.sqlstate == "ID002"


def test_a_mismatch_tells_nothing_of_the_first(conn: psycopg.Connection[Any]) -> None:
    """Whoever guesses a key learns that it exists, no more."""
    token = claim(conn, "k").claim_token
    conn.execute("select idemdb.complete('s', 'k', %s, 200, null, 'secret', '{}', 'r')", [token])
    with conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(r"select * from idemdb.claim('s', 'k', '\x01')").fetchone()
    assert row is not None
    assert row.pop("outcome") == "mismatch"
    assert set(row.values()) == {None}


def test_scopes_never_meet(conn: psycopg.Connection[Any]) -> None:
    """The same key of two users is two keys, also where scope and key together read the same."""
    for scope, key in (("a", "bc"), ("ab", "c"), ("A", "bc")):
        assert conn.execute(r"select outcome from idemdb.claim(%s, %s, '\x')", [scope, key]).fetchone() == (
            "started",
        )


def test_a_takeover_goes_on_with_the_same_request(dsn: str, make_conn: Connect) -> None:
    """Attempt, token and recovery point; the fingerprint stays; the late holder is told to stop."""
    conn = make_conn(dsn)
    first = claim(conn, "k", "1 minute", '{"replay_for": "1 hour", "keep_for": "2 hours"}')
    conn.execute("select idemdb.checkpoint('s', 'k', %s, 'charged', '{\"id\": 7}')", [first.claim_token])
    age(conn, "k", "lease_until = clock_timestamp() - interval '1 second'")
    second = claim(conn, "k", "1 minute")
    assert (second.outcome, second.attempt) == ("resumed", 2)
    assert (second.recovery_point, second.recovery_data) == ("charged", {"id": 7})
    assert second.claim_token > first.claim_token
    conn.commit()
    with pytest.raises(psycopg.Error, match="another claim followed") as caught:
        conn.execute("select idemdb.complete('s', 'k', %s)", [first.claim_token])
    assert caught.value.sqlstate == "ID003"
    conn.rollback()
    assert conn.execute(r"select outcome from idemdb.claim('s', 'k', '\x01')").fetchone() == ("mismatch",)
    conn.execute("select idemdb.complete('s', 'k', %s, 200)", [second.claim_token])
    record = lookup(conn, "k")
    assert (record.state, record.recovery_point) == ("done", None)
    assert round((record.replay_until - record.completed_at).total_seconds()) == 3600
    assert round((record.forget_at - record.created_at).total_seconds()) == 7200


def test_a_takeover_without_a_lease_is_bound(dsn: str, make_conn: Connect) -> None:
    """Its rollback brings the old state and token back, its commit makes the key done."""
    conn = make_conn(dsn)
    claim(conn, "k", "1 minute")
    age(conn, "k", "lease_until = clock_timestamp() - interval '1 second'")
    before = lookup(conn, "k")
    assert claim(conn, "k").outcome == "started"
    conn.rollback()
    assert lookup(conn, "k") == before
    token = claim(conn, "k").claim_token
    conn.execute("select idemdb.release('s', 'k', %s, 'boom')", [token])
    assert lookup(conn, "k").state == "released"  # the fingerprint and a recovery point must survive
    conn.rollback()
    claim(conn, "k")
    conn.commit()
    assert (lookup(conn, "k").state, claim(conn, "k").outcome) == ("done", "replayed")


def test_a_key_taken_over_after_its_window_is_remembered_anew(dsn: str, make_conn: Connect) -> None:
    """An abandoned key older than keep_for that then runs is not forgotten at once: its repeat must not run."""
    conn = make_conn(dsn)
    claim(conn, "k", "1 minute", '{"keep_for": "1 hour"}')
    age(
        conn,
        "k",
        "lease_until = '2020-01-01', created_at = now() - interval '1 day', forget_at = forget_at - interval '1 day'",
    )
    for lease in (None, "1 minute"):
        token = claim(conn, "k", lease).claim_token
        conn.execute("select idemdb.complete('s', 'k', %s)", [token])
        assert claim(conn, "k").outcome == "replayed"
        conn.rollback()


def test_tokens_only_grow(dsn: str, make_conn: Connect) -> None:
    """Also over rollback, release, resolve, forget and a clock that was set back."""
    conn = make_conn(dsn, autocommit=True)
    tokens = []
    for _ in range(3):
        with conn.transaction(force_rollback=True):
            tokens.append(claim(conn, "k", "1 minute").claim_token)
    token = claim(conn, "k", "1 minute").claim_token
    tokens.append(token)
    conn.execute("update idemdb.keys set claim_token = claim_token + 3600000000, lease_until = '2020-01-01'")
    taken = claim(conn, "k", "1 minute").claim_token
    assert taken > token + 3600000000
    conn.execute("select idemdb.release('s', 'k', %s)", [taken])
    conn.execute("select idemdb.resolve('s', 'k', 'retry', 'note')")
    with pytest.raises(psycopg.Error, match="another claim"):
        conn.execute("select idemdb.complete('s', 'k', %s)", [taken])
    conn.execute("select idemdb.resolve('s', 'k', 'forget', 'note')")
    tokens.append(claim(conn, "k", "1 minute").claim_token)
    assert tokens == sorted(set(tokens))


def test_a_savepoint_takes_claim_and_answer_back(conn: psycopg.Connection[Any]) -> None:
    """A claim that was rolled back may be made again, an answer that was rolled back may be another one."""
    conn.execute("savepoint a")
    claim(conn, "k")
    conn.execute("rollback to a")
    token = claim(conn, "k").claim_token
    conn.execute("savepoint b")
    conn.execute("select idemdb.complete('s', 'k', %s, 200)", [token])
    conn.execute("rollback to b")
    conn.execute("select idemdb.complete('s', 'k', %s, 402)", [token])
    assert claim(conn, "k").status == 402


def test_a_star_over_the_call_fails_loudly(conn: psycopg.Connection[Any]) -> None:
    """(f()).* calls f once per column: it must not claim twice."""
    with pytest.raises(psycopg.Error, match="already claimed by this transaction") as caught:
        conn.execute(r"select (idemdb.claim('s', 'k', '\x')).*")
    assert caught.value.sqlstate == "ID007"


def test_release_takes_a_bound_claim_back(conn: psycopg.Connection[Any]) -> None:
    """As if it had never been made: even another request may use the key."""
    token = claim(conn, "k").claim_token
    conn.execute("select idemdb.release('s', 'k', %s)", [token])
    assert lookup(conn, "k").state == "unknown"
    assert conn.execute(r"select outcome from idemdb.claim('s', 'k', '\x01')").fetchone() == ("started",)


def test_a_read_only_transaction_replays_and_refuses(dsn: str, make_conn: Connect) -> None:
    """What needs no write works; what does raises 25006 and says why."""
    conn = make_conn(dsn)
    conn.execute("create function public.echo(jsonb) returns jsonb language sql as 'select $1'")
    claim(conn, "done")
    claim(conn, "expired")
    claim(conn, "over", "1 minute")
    age(conn, "over", "lease_until = '2020-01-01'")
    age(conn, "expired", "replay_until = '2020-01-01'")
    conn.read_only = True
    assert claim(conn, "done").outcome == "replayed"
    assert claim(conn, "expired").outcome == "expired"
    assert conn.execute(r"select outcome from idemdb.claim('s', 'done', '\x01')").fetchone() == ("mismatch",)
    assert lookup(conn, "new").state == "unknown"
    conn.rollback()
    for statement in (
        r"select idemdb.claim('s', 'new', '\x')",
        r"select idemdb.claim('s', 'over', '\x')",
        "select idemdb.execute('s', 'new', 'public.echo', '{}')",
    ):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="cannot claim") as caught:
            conn.execute(statement.encode())
        assert "READ WRITE" in (caught.value.diag.message_hint or "")
        conn.rollback()


def test_views_count_and_list(dsn: str, make_conn: Connect) -> None:
    """key_overview by scope and state; unresolved lists what waits for a person."""
    conn = make_conn(dsn)
    claim(conn, "a")
    claim(conn, "b", "1 minute")
    claim(conn, "c", "1 minute", '{"abandoned": "hold"}')
    conn.commit()
    age(conn, "c", "lease_until = '2020-01-01'")
    rows = conn.execute("select scope, state, keys from idemdb.key_overview order by state").fetchall()
    assert rows == [("s", "done", 1), ("s", "running", 1), ("s", "unresolved", 1)]
    assert conn.execute("select scope, key, attempt from idemdb.unresolved").fetchall() == [("s", "c", 1)]


def test_settings_are_merged_with_their_defaults(conn: psycopg.Connection[Any]) -> None:
    """configure returns all settings; null brings a default back."""
    set_ = "select idemdb.configure('topic', 'mail', %s)"
    assert conn.execute(set_, ['{"notify": true}']).fetchone() == (
        {"keep_for": "30 days", "max_attempts": 5, "notify": True},
    )
    assert conn.execute(set_, ['{"max_attempts": 9}']).fetchone() == (
        {"keep_for": "30 days", "max_attempts": 9, "notify": True},
    )
    assert conn.execute(set_, ['{"notify": null}']).fetchone() == (
        {"keep_for": "30 days", "max_attempts": 9, "notify": False},
    )
