"""execute: the user's function at most once per key, its result replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Connect = Callable[..., psycopg.Connection[Any]]
EXECUTE = "select * from idemdb.execute('s', %s, %s, %s, '0', %s)"


@pytest.fixture
def shop(conn: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with a payment function, "the user's"."""
    conn.execute("create schema app")
    conn.execute("create table app.charges (amount integer)")
    conn.execute("""
        create function app.pay(p jsonb) returns jsonb language plpgsql as $$
        begin
            insert into app.charges values ((p ->> 'amount')::integer);
            if (p ->> 'amount')::integer > 1000 then
                raise exception 'declined' using errcode = 'ID010',
                    detail = '{"status": 402, "headers": {"a": "b"}, "body_base64": "aGk=", "result": {"ok": false}, "reference": "d/1"}';
            elsif (p ->> 'amount')::integer < 0 then
                raise exception 'negative amount' using errcode = 'check_violation';
            end if;
            return jsonb_build_object('paid', p -> 'amount');
        end;
        $$
    """)
    return conn


def execute(
    conn: psycopg.Connection[Any], key: str, args: str, function: str = "app.pay", options: str | None = None
) -> Any:
    """Call execute and return its answer as a named row."""
    with conn.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute(EXECUTE, [key, function, args, options]).fetchone()


def charges(conn: psycopg.Connection[Any]) -> list[Any]:
    """Return the charged amounts."""
    return [row[0] for row in conn.execute("select amount from app.charges order by 1").fetchall()]


def test_it_runs_once(shop: psycopg.Connection[Any]) -> None:
    """Three clicks, one charge, equal answers."""
    answers = [execute(shop, "k", '{"amount": 500}') for _ in range(3)]
    assert [answer.outcome for answer in answers] == ["started", "replayed", "replayed"]
    assert [answer.result for answer in answers] == [{"paid": 500}] * 3
    assert answers[0].completed_at == answers[2].completed_at
    assert execute(shop, "k", '{"amount": 501}').outcome == "mismatch"
    assert charges(shop) == [500]


def test_a_star_over_the_call_is_correct(shop: psycopg.Connection[Any]) -> None:
    """(execute(…)).* calls it once per column: one run, then replays."""
    row = shop.execute("select (idemdb.execute('s', 'k', 'app.pay', '{\"amount\": 5}')).*").fetchone()
    assert row is not None
    assert (row[0], row[8], charges(shop)) == ("started", {"paid": 5}, [5])


def test_another_function_still_replays(shop: psycopg.Connection[Any]) -> None:
    """The fingerprint is of the arguments alone, so a deployed pay_v2 replays pay's answer, and pay may be gone."""
    execute(shop, "k", '{"amount": 5}')
    shop.execute("drop function app.pay")
    assert execute(shop, "k", '{"amount": 5}', "app.pay_v2").outcome == "replayed"


def test_excluded_members_do_not_count(shop: psycopg.Connection[Any]) -> None:
    """A time of sending changes between attempts."""
    options = '{"exclude": ["{sent_at}", "{client,trace}"]}'
    first = '{"amount": 5, "sent_at": 1, "client": {"id": 7, "trace": "a"}}'
    assert execute(shop, "k", first, options=options).outcome == "started"
    again = '{"amount": 5, "sent_at": 2, "client": {"id": 7, "trace": "b"}}'
    assert execute(shop, "k", again, options=options).outcome == "replayed"
    assert execute(shop, "k", again.replace("7", "8"), options=options).outcome == "mismatch"


def test_a_declined_card_is_an_answer(shop: psycopg.Connection[Any]) -> None:
    """ID010: the writes roll back, the answer is stored and replayed."""
    for outcome in ("started", "replayed"):
        answer = execute(shop, "k", '{"amount": 5000}')
        assert (answer.outcome, answer.status, answer.headers) == (outcome, 402, {"a": "b"})
        assert (answer.body, answer.result, answer.reference) == (b"hi", {"ok": False}, "d/1")
    assert charges(shop) == []


def test_an_error_is_no_answer(shop: psycopg.Connection[Any]) -> None:
    """Anything but ID010 undoes everything, and a repeat runs again."""
    for _ in range(2):
        shop.execute("savepoint a")
        with pytest.raises(psycopg.errors.CheckViolation):
            execute(shop, "k", '{"amount": -1}')
        shop.execute("rollback to a")
    assert shop.execute("select state from idemdb.lookup('s', 'k')").fetchone() == ("unknown",)
    assert shop.execute("select current_setting('idemdb.executing', true)").fetchone() in [("",), (None,)]


@pytest.mark.parametrize(
    "inner",
    [
        "idemdb.execute('s', 'k', 'app.again', p)",
        r"idemdb.claim('s', 'k', idemdb.fingerprint(p))",
        r"idemdb.claim('s', 'k', idemdb.fingerprint(p), '1 minute')",
    ],
)
def test_the_function_cannot_claim_its_own_key(inner: str, shop: psycopg.Connection[Any]) -> None:
    """ID007 at once, not an endless recursion."""
    shop.execute(
        f"create function app.again(p jsonb) returns jsonb language sql as $$ select to_jsonb({inner}) $$".encode()
    )
    with pytest.raises(psycopg.Error, match="already claimed") as caught:
        execute(shop, "k", "{}", "app.again")
    assert caught.value.sqlstate == "ID007"


def test_the_function_may_use_other_keys(shop: psycopg.Connection[Any]) -> None:
    """Nested executions, and the same key for another request is a mismatch."""
    shop.execute(r"""
        create function app.order(p jsonb) returns jsonb language sql as $$
        select jsonb_build_array(
            (select outcome from idemdb.execute('s', 'inner', 'app.pay', p)),
            (select outcome from idemdb.execute('s', 'inner', 'app.pay', p)),
            (select outcome from idemdb.claim('s', 'k', '\x01')))
        $$
    """)
    assert execute(shop, "k", '{"amount": 5}', "app.order").result == ["started", "replayed", "mismatch"]
    assert execute(shop, "k", '{"amount": 5}', "app.order").outcome == "replayed"
    assert charges(shop) == [5]


def test_it_takes_an_abandoned_key_over(shop: psycopg.Connection[Any]) -> None:
    """A leased claim without recovery point is taken over, its attempt counted, its answer stored in its row."""
    shop.execute("select idemdb.claim('s', 'k', idemdb.fingerprint('{\"amount\": 5}'), '1 minute')")
    shop.execute("update idemdb.keys set claim_xid = '3', lease_until = '2020-01-01'")
    answer = execute(shop, "k", '{"amount": 5}')
    assert (answer.outcome, answer.attempt, charges(shop)) == ("started", 2, [5])
    assert execute(shop, "k", '{"amount": 5}').result == {"paid": 5}


def test_a_declined_takeover_is_an_answer_too(shop: psycopg.Connection[Any]) -> None:
    """ID010 after a takeover: the answer goes into the row that was taken over."""
    shop.execute("select idemdb.claim('s', 'k', idemdb.fingerprint('{\"amount\": 5000}'), '1 minute')")
    shop.execute("update idemdb.keys set claim_xid = '3', lease_until = '2020-01-01'")
    assert [execute(shop, "k", '{"amount": 5000}').status for _ in range(2)] == [402, 402]
    assert charges(shop) == []


def test_it_leaves_one_row_version(shop: psycopg.Connection[Any]) -> None:
    """Key and answer are one INSERT: no dead tuple."""
    execute(shop, "k", '{"amount": 5}')
    row = shop.execute(
        "select n_tup_ins, n_tup_upd, n_tup_del from pg_stat_xact_user_tables where relid = 'idemdb.keys'::regclass"
    ).fetchone()
    assert row == (1, 0, 0)


def test_null_is_a_result(shop: psycopg.Connection[Any]) -> None:
    """A function that returns null has run."""
    shop.execute("create function app.nothing(jsonb) returns jsonb language sql as 'select null::jsonb'")
    assert [execute(shop, "k", "{}", "app.nothing").outcome for _ in range(2)] == ["started", "replayed"]


def test_quoted_names(shop: psycopg.Connection[Any]) -> None:
    """Names are written as in SQL."""
    shop.execute(
        """create schema "My App"; create function "My App"."Pay now"(jsonb) returns jsonb language sql as 'select $1'"""
    )
    assert execute(shop, "k", "{}", '"My App"."Pay now"').outcome == "started"
