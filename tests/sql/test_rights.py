"""Who may do what: the three roles, and attackers with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

ALLOWED = {
    "idemdb_user": [
        r"select idemdb.claim('s', 'n', '\x')",
        "select idemdb.lookup('s', 'k')",
        "select idemdb.execute('s', 'n', 'public.echo', '{}')",
        "select idemdb.execute('s', 'n', 'public.echo', '{}', null, '{\"exclude\": [\"{a}\"]}')",
        "select idemdb.fingerprint('{}')",
        "select idemdb.version()",
        "select idemdb.process('c', 'e')",
        "select idemdb.process_many('c', '{e}')",
        "select idemdb.process_failed('c', 'e', 'boom')",
        "select idemdb.process_offsets('c', 's', '{1}')",
        "select idemdb.advance('c', 'x', 1)",
        "select idemdb.outbox_add('t', 'k', '1')",
        "select idemdb.outbox_take('t', 1, '1 s')",
        "select idemdb.outbox_done('t', 1, '{}')",
        "select idemdb.outbox_done('held', 1, '{1}')",
        "select idemdb.outbox_retry('held', 1, 1, '0', 'boom')",
    ],
    "idemdb_admin": [
        "select idemdb.resolve('s', 'k', 'forget', 'note')",
        "select idemdb.forget('s')",
        "select idemdb.sweep()",
        "select idemdb.configure('topic', 't', '{}')",
        "select * from idemdb.keys, idemdb.audit, idemdb.settings, idemdb.sweep_cursor",
        "select * from idemdb.key_overview, idemdb.unresolved",
        "select * from idemdb.event_overview, idemdb.outbox_overview, idemdb.dead_letters",
        "select * from idemdb.inbox, idemdb.event_failures, idemdb.streams, idemdb.entity_versions",
        "select * from idemdb.outbox_keys, idemdb.outbox_messages",
        "select idemdb.dead_letter('consumer', 'c', 'dead', 'drop')",
        "select idemdb.process('c', 'e')",
        "select idemdb.outbox_add('t', 'k', '1')",
        r"select idemdb.claim('s', 'n', '\x')",
    ],
    "idemdb_reader": [
        "select * from idemdb.key_overview, idemdb.unresolved",
        "select * from idemdb.event_overview, idemdb.outbox_overview, idemdb.dead_letters",
        "select idemdb.version()",
    ],
}
REFUSED = {
    "idemdb_user": [
        "select * from idemdb.keys",
        "insert into idemdb.audit (happened_at, actor, action, scope) values (now(), 'me', 'forget', 's')",
        "delete from idemdb.keys",
        "select * from idemdb.key_overview",
        "select idemdb.resolve('s', 'k', 'forget', 'note')",
        "select idemdb.forget('s')",
        "select idemdb.sweep()",
        "select idemdb.configure('topic', 't', '{}')",
        r"select idemdb._admit('s', 'k', '\x', null, null, null, false)",
        "create function idemdb.claim() returns void language sql as ''",
        *[
            f"select * from idemdb.{table}"
            for table in (
                "inbox",
                "event_failures",
                "streams",
                "entity_versions",
                "outbox_keys",
                "outbox_messages",
            )
        ],
        "insert into idemdb.inbox values (now(), gen_random_uuid(), 1)",
        "delete from idemdb.outbox_messages",
        "select nextval('idemdb.outbox_token')",
        "select * from idemdb.event_overview",
        "select * from idemdb.outbox_overview",
        "select * from idemdb.dead_letters",
        "select idemdb.dead_letter('consumer', 'c', 'dead', 'drop')",
    ],
    "idemdb_admin": [
        "update idemdb.keys set claim_token = 1",
        "delete from idemdb.audit",
        "delete from idemdb.inbox",
        "delete from idemdb.outbox_messages",
    ],
    "idemdb_reader": [
        "select * from idemdb.keys",
        r"select idemdb.claim('s', 'n', '\x')",
        "select idemdb.lookup('s', 'k')",
        "select * from idemdb.inbox",
        "select idemdb.process('c', 'e')",
        "select idemdb.outbox_take('t', 1, '1 s')",
        "select idemdb.dead_letter('consumer', 'c', 'dead', 'drop')",
    ],
    "nobody": [
        "select idemdb.version()",
        r"select idemdb.claim('s', 'n', '\x')",
        "select * from idemdb.unresolved",
    ],
}
PAIRS = [(role, statement) for role, statements in ALLOWED.items() for statement in statements]
NEVER = [(role, statement) for role, statements in REFUSED.items() for statement in statements]


@pytest.fixture
def as_role(conn: psycopg.Connection[Any]) -> Iterator[Callable[[str], psycopg.Connection[Any]]]:
    """Return a function that makes the connection act as one of the roles; there is a finished key."""
    conn.execute("create function public.echo(jsonb) returns jsonb language sql as 'select $1'")
    conn.execute(r"select idemdb.claim('s', 'k', '\x')")
    conn.execute("update idemdb.keys set claim_xid = '3'")
    conn.execute("""
        select idemdb.configure('consumer', 'c', '{"max_attempts": 1}'), idemdb.process_failed('c', 'dead', 'boom');
        insert into idemdb.outbox_messages (id, claim_token, created_at, available_at, topic, dedup_key, payload)
        overriding system value values (1, 1, now(), now(), 'held', 'k', '1')
    """)
    conn.execute("create role nobody nologin")

    def act(role: str) -> psycopg.Connection[Any]:
        conn.execute(f"set local role {role}".encode())
        return conn

    yield act
    conn.rollback()


@pytest.mark.parametrize(("role", "statement"), PAIRS)
def test_a_role_may(role: str, statement: str, as_role: Callable[[str], psycopg.Connection[Any]]) -> None:
    """What the role is for works."""
    assert as_role(role).execute(statement.encode()).rowcount >= 0


@pytest.mark.parametrize(("role", "statement"), NEVER)
def test_a_role_may_not(role: str, statement: str, as_role: Callable[[str], psycopg.Connection[Any]]) -> None:
    """Everything else is refused by PostgreSQL."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute(statement.encode())


def test_execute_runs_with_the_callers_rights(
    as_role: Callable[[str], psycopg.Connection[Any]], conn: Any
) -> None:
    """A function cannot do through execute what its caller may not."""
    conn.execute("create table public.secret (x integer)")
    conn.execute("""
        create function public.peek(jsonb) returns jsonb language plpgsql as
        $$ begin delete from public.secret; return to_jsonb(current_user::text); end; $$
    """)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="secret"):
        as_role("idemdb_user").execute("select idemdb.execute('s', 'n', 'public.peek', '{}')")


def test_execute_finds_functions_as_its_caller_does(
    as_role: Callable[[str], psycopg.Connection[Any]], conn: Any
) -> None:
    """The caller's search_path holds inside the function that execute calls."""
    conn.execute("create schema app; grant usage on schema app to idemdb_user")
    conn.execute("""
        create function app.path(jsonb) returns jsonb language sql
        as $$ select to_jsonb(current_setting('search_path') || '/' || current_user) $$
    """)
    as_role("idemdb_user").execute("set local search_path = app, public")
    row = conn.execute("select result from idemdb.execute('s', 'n', 'path', '{}')").fetchone()
    assert row == ("app, public/idemdb_user",)


def test_temporary_objects_hijack_nothing(as_role: Callable[[str], psycopg.Connection[Any]]) -> None:
    """An attacker's temporary table, function and operator named like ours or PostgreSQL's are never used."""
    conn = as_role("idemdb_user")
    conn.execute(r"""
        create temp table keys as select 'x'::text as scope, 'x'::text as key;
        create function pg_temp.clock_timestamp() returns timestamptz language plpgsql
        as $$ begin raise exception 'hijacked as %', current_user; end; $$;
        create function pg_temp.octet_length(text) returns integer language plpgsql
        as $$ begin raise exception 'hijacked as %', current_user; end; $$;
        create function pg_temp.same(bytea, bytea) returns boolean language plpgsql
        as $$ begin raise exception 'hijacked as %', current_user; end; $$;
        create operator pg_temp.<> (function = pg_temp.same, leftarg = bytea, rightarg = bytea);
        set local search_path = pg_temp, pg_catalog, public;
    """)
    row = conn.execute(r"select outcome from idemdb.claim('s', 'k', '\x')").fetchone()
    assert row == ("replayed",)
    row = conn.execute(r"select outcome from idemdb.claim('s', 'fresh', '\x', '1 minute')").fetchone()
    assert row == ("started",)


INJECTIONS = [
    "'; drop table idemdb.keys; --",
    "$$; drop table idemdb.keys; $$",
    'a"; drop table idemdb.keys; --',
    "%s%(x)s\\",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_is_never_sql(text: str, as_role: Callable[[str], psycopg.Connection[Any]]) -> None:
    """Every text argument is data."""
    conn = as_role("idemdb_user")
    row = conn.execute(
        r"select claim_token from idemdb.claim(%s, %s, '\x', '1 minute')", [text, text]
    ).fetchone()
    assert row is not None
    conn.execute("select idemdb.checkpoint(%s, %s, %s, %s)", [text, text, row[0], text])
    conn.execute("select idemdb.release(%s, %s, %s, %s)", [text, text, row[0], text])
    record = conn.execute(
        "select recovery_point, last_error from idemdb.lookup(%s, %s)", [text, text]
    ).fetchone()
    assert record == (text, text)
    with pytest.raises(psycopg.Error, match="function"):
        conn.execute("select idemdb.execute('s', 'n', %s, '{}')", [text])


def test_a_person_is_named_in_the_audit(as_role: Callable[[str], psycopg.Connection[Any]]) -> None:
    """resolve and forget say who did it: the login and the role it acts as."""
    conn = as_role("idemdb_admin")
    conn.execute("select idemdb.resolve('s', 'k', 'forget', 'asked by the customer')")
    conn.execute("select idemdb.forget('s')")
    rows = conn.execute("select actor, action, scope, key, note from idemdb.audit order by id").fetchall()
    actor = f"{conn.info.user}/idemdb_admin"
    assert rows == [
        (actor, "resolve:forget", "s", "k", "asked by the customer"),
        (actor, "forget", "s", None, None),
    ]
