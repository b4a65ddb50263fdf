"""How a call waits for a running holder: alone, no longer than asked, and without a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from .waits import blockers, meanwhile, until, until_blocked

Connection = psycopg.Connection[dict[str, Any]]

CLAIM = "select * from idemdb.claim('s', %(key)s, '\\x', %(lease)s::interval, %(wait)s::interval)"


class Cast:
    """Connections of one test, opened by name and closed at its end."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connections: list[Connection] = []
        self.monitor = self.connect(autocommit=True)

    def connect(self, *, autocommit: bool = False) -> Connection:
        connection = psycopg.connect(self._dsn, autocommit=autocommit, row_factory=dict_row)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@pytest.fixture
def cast(clean_stage: str) -> Iterator[Cast]:
    cast = Cast(clean_stage)
    yield cast
    cast.close()


def claim(
    connection: Connection, key: str = "k", *, wait: str | None = "0", lease: str | None = None
) -> dict[str, Any]:
    row = connection.execute(CLAIM, {"key": key, "wait": wait, "lease": lease}).fetchone()
    assert row is not None
    return row


def complete(connection: Connection, token: int, key: str = "k") -> None:
    connection.execute("select idemdb.complete('s', %s, %s, p_result => '\"done\"')", [key, token])


def pid(connection: Connection) -> int:
    return connection.info.backend_pid


def locks_of_waiting(monitor: Connection, of: int) -> list[str]:
    """List the locks of a backend that somebody else could wait for."""
    query = """
        select locktype from pg_catalog.pg_locks
         where pid = %s and locktype in ('advisory', 'transactionid', 'tuple')
    """
    return [row["locktype"] for row in monitor.execute(query, [of])]


def lock_timeout(connection: Connection) -> str:
    row = connection.execute("show lock_timeout").fetchone()
    assert row is not None
    return str(row["lock_timeout"])


def test_waiters_wait_for_the_holder_and_not_for_each_other(cast: Cast) -> None:
    holder, waiters = cast.connect(), [cast.connect() for _ in range(3)]
    held = claim(holder)
    with meanwhile() as submit:
        answers = [submit(claim, waiter, wait="20s") for waiter in waiters]
        for waiter in waiters:
            assert until_blocked(cast.monitor, pid(waiter)) == [pid(holder)]
        complete(holder, held["claim_token"])
        holder.commit()
        # None of the waiters ends its transaction, so nobody could get on behind another one.
        assert [answer.result(20)["outcome"] for answer in answers] == ["replayed"] * 3


def test_after_a_rollback_one_waiter_goes_on(cast: Cast) -> None:
    holder, waiters = cast.connect(), [cast.connect() for _ in range(3)]
    claim(holder)
    with meanwhile() as submit:
        answers = {pid(waiter): submit(claim, waiter, wait="20s") for waiter in waiters}
        for waiter in waiters:
            until_blocked(cast.monitor, pid(waiter))
        holder.rollback()
        until(lambda: any(answer.done() for answer in answers.values()), "a waiter goes on")
        (winner,) = [waiter for waiter in waiters if answers[pid(waiter)].done()]
        started = answers.pop(pid(winner)).result()
        assert started["outcome"] == "started"
        for loser in answers:
            assert until_blocked(cast.monitor, loser) == [pid(winner)]
        complete(winner, started["claim_token"])
        winner.commit()
        assert [answer.result(20)["outcome"] for answer in answers.values()] == ["replayed"] * 2


@pytest.mark.parametrize("wait", ["0", "80 ms"])
def test_a_waiter_that_gives_up_holds_no_lock(cast: Cast, wait: str) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    assert claim(waiter, wait=wait)["outcome"] == "in_progress"
    assert waiter.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert locks_of_waiting(cast.monitor, pid(waiter)) == []
    holder.rollback()
    third = cast.connect()
    assert claim(third)["outcome"] == "started"  # while the transaction of the one who gave up is open


def test_a_replay_holds_no_lock(cast: Cast) -> None:
    holder, reader = cast.connect(), cast.connect()
    claim(holder)
    holder.commit()
    assert claim(reader)["outcome"] == "replayed"
    assert locks_of_waiting(cast.monitor, pid(reader)) == []


def test_a_replay_after_a_wait_holds_no_lock(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    with meanwhile() as submit:
        answer = submit(claim, waiter, wait="20s")
        until_blocked(cast.monitor, pid(waiter))
        holder.commit()
        assert answer.result(20)["outcome"] == "replayed"
    assert "transactionid" not in locks_of_waiting(cast.monitor, pid(waiter))
    # Its courtesy lock, if it keeps one, must not make the next ones wait.
    third = cast.connect()
    assert claim(third)["outcome"] == "replayed"


def test_a_wait_that_is_over_is_in_progress(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    began = time.monotonic()
    assert claim(waiter, wait="300 ms")["outcome"] == "in_progress"
    assert time.monotonic() - began >= 0.29


def test_the_wait_is_two_seconds_by_default(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    began = time.monotonic()
    assert claim(waiter, wait=None)["outcome"] == "in_progress"
    assert 1.9 <= time.monotonic() - began < 10


def test_no_wait_answers_at_once(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    # Were it to wait for any lock, this timeout would say so.
    waiter.execute("set local statement_timeout = '1s'")
    assert claim(waiter, wait="0")["outcome"] == "in_progress"


@pytest.mark.parametrize("setting", ["10ms", "0", "7s"])
def test_the_lock_timeout_of_the_session_neither_shows_nor_changes(cast: Cast, setting: str) -> None:
    holder, waiter = cast.connect(), cast.connect()
    waiter.execute(f"set lock_timeout = '{setting}'")
    waiter.commit()
    claim(holder)
    began = time.monotonic()
    assert claim(waiter, wait="200 ms")["outcome"] == "in_progress"  # never 55P03
    assert time.monotonic() - began >= 0.19
    assert lock_timeout(waiter) == setting
    with meanwhile() as submit:
        answer = submit(claim, waiter, wait="20s")
        until_blocked(cast.monitor, pid(waiter))
        holder.commit()
        assert answer.result(20)["outcome"] == "replayed"
    assert lock_timeout(waiter) == setting
    waiter.commit()
    assert lock_timeout(waiter) == setting


def test_the_lock_timeout_of_the_transaction_ends_with_it(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    waiter.execute("set local lock_timeout = '3s'")
    assert claim(waiter, wait="50 ms")["outcome"] == "in_progress"
    assert lock_timeout(waiter) == "3s"
    waiter.commit()
    assert lock_timeout(waiter) == "0"


def test_execute_keeps_the_lock_timeout_for_the_function_it_runs(cast: Cast) -> None:
    cast.monitor.execute("""
        create function public.seen(p jsonb) returns jsonb language sql as $$
            select to_jsonb(current_setting('lock_timeout'))
        $$
    """)
    session = cast.connect()
    session.execute("set lock_timeout = '7s'")
    row = session.execute("select * from idemdb.execute('s', 'k', 'public.seen', '{}')").fetchone()
    assert row is not None
    assert row["result"] == "7s"
    assert lock_timeout(session) == "7s"


@pytest.fixture
def courtesy_lock(cast: Cast) -> int:
    """Return the number of the advisory lock that stands for the key ``k``."""
    holder = cast.connect()
    claim(holder)
    row = cast.monitor.execute(
        """
        select (classid::bigint << 32) | objid::bigint as number from pg_catalog.pg_locks
         where pid = %s and locktype = 'advisory' and objsubid = 1
        """,
        [pid(holder)],
    ).fetchone()
    holder.rollback()
    assert row is not None
    return int(row["number"])


def test_a_colliding_lock_changes_only_the_waiting(cast: Cast, courtesy_lock: int) -> None:
    stranger, client = cast.connect(), cast.connect()
    stranger.execute("select pg_catalog.pg_advisory_xact_lock(%s)", [courtesy_lock])
    assert claim(client, wait="0")["outcome"] == "in_progress"
    assert claim(client, wait="50 ms")["outcome"] == "in_progress"
    with meanwhile() as submit:
        answer = submit(claim, client, wait="20s")
        assert until_blocked(cast.monitor, pid(client)) == [pid(stranger)]
        stranger.rollback()
        assert answer.result(20)["outcome"] == "started"
    client.commit()
    stranger.execute("select pg_catalog.pg_advisory_xact_lock(%s)", [courtesy_lock])
    assert claim(client, wait="0")["outcome"] == "replayed"  # a read needs no lock


def test_a_stranger_in_shared_mode_changes_only_the_waiting(cast: Cast, courtesy_lock: int) -> None:
    stranger, client = cast.connect(), cast.connect()
    stranger.execute("select pg_catalog.pg_advisory_xact_lock_shared(%s)", [courtesy_lock])
    assert claim(client, wait="0")["outcome"] in {"started", "in_progress"}
    client.rollback()
    stranger.rollback()
    assert claim(client, wait="0")["outcome"] == "started"


def test_other_keys_do_not_wait(cast: Cast) -> None:
    holder, other = cast.connect(), cast.connect()
    claim(holder)
    other.execute("set local statement_timeout = '5s'")
    assert claim(other, "another", wait="20s")["outcome"] == "started"


def test_a_leased_holder_is_waited_for(cast: Cast) -> None:
    holder, waiter = cast.connect(autocommit=True), cast.connect()
    held = claim(holder, lease="60s")
    assert held["outcome"] == "started"
    began = time.monotonic()
    over = claim(waiter, wait="150 ms")
    assert over["outcome"] == "in_progress"
    assert time.monotonic() - began >= 0.14
    assert 0 < over["retry_after_ms"] <= 60_000
    sleeping = "select from pg_catalog.pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    with meanwhile() as submit:
        answer = submit(claim, waiter, wait="20s")
        until(lambda: cast.monitor.execute(sleeping, [pid(waiter)]).fetchone() is not None, "it waits")
        assert blockers(cast.monitor, pid(waiter)) == []
        complete(holder, held["claim_token"])
        replayed = answer.result(20)
    assert (replayed["outcome"], replayed["result"]) == ("replayed", "done")


def test_a_leased_claim_that_is_not_committed_is_waited_for(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder, lease="60s")
    with meanwhile() as submit:
        answer = submit(claim, waiter, wait="20s")
        assert until_blocked(cast.monitor, pid(waiter)) == [pid(holder)]
        holder.rollback()
        assert answer.result(20)["outcome"] == "started"


def test_a_cancelled_wait_leaves_nothing(cast: Cast) -> None:
    holder, waiter = cast.connect(), cast.connect()
    claim(holder)
    with meanwhile() as submit:
        answer = submit(claim, waiter, wait="20s")
        until_blocked(cast.monitor, pid(waiter))
        cast.monitor.execute("select pg_catalog.pg_cancel_backend(%s)", [pid(waiter)])
        with pytest.raises(psycopg.errors.QueryCanceled):
            answer.result(20)
    assert locks_of_waiting(cast.monitor, pid(waiter)) == []
    waiter.rollback()
    holder.commit()
    assert claim(waiter)["outcome"] == "replayed"
