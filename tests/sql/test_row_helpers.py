"""Typed helpers: names, rights, races, staleness."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from idemdb import doctor, row_helpers
from idemdb.errors import InvalidArgument
from idemdb.helper_sql import VERBS
from tests.support.row_vectors import make_tables

TABLE = (
    "create table users (id bigint generated always as identity primary key, email text not null, name text,"
)
TABLE += " constraint users_email_key unique (email))"


def make(conn: psycopg.Connection[Any], table: str = TABLE) -> row_helpers.Database:
    conn.execute(table.encode())
    database = row_helpers.of_psycopg(conn)
    row_helpers.create(database, "users", "users_email_key")
    return database


def call(conn: psycopg.Connection[Any], text: str, *values: Any) -> list[tuple[Any, ...]]:
    return conn.execute(text.encode(), values).fetchall()


def test_nobody_executes_through_public(conn: psycopg.Connection[Any]) -> None:
    database = make(conn)
    for helper in row_helpers.installed(database):
        signature = f"public.{helper.name}({helper.types})"
        found = call(
            conn,
            "select has_function_privilege('public', %s::text, 'execute'), has_function_privilege('idemdb_user', %s::text, 'execute')",
            signature,
            signature,
        )
        assert found == [(False, True)]


def test_the_callers_rights_hold(conn: psycopg.Connection[Any]) -> None:
    make(conn)
    conn.execute("grant select, insert (email) on users to idemdb_user")
    conn.execute("set local role idemdb_user")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
        call(conn, "select outcome from users_put_by_email_key('a', 'A')")


def test_a_row_hidden_by_row_level_security(conn: psycopg.Connection[Any]) -> None:
    make(conn)
    conn.execute("insert into users (email, name) values ('a', 'hidden')")
    conn.execute("grant select, insert, update on users to idemdb_user")
    conn.execute("alter table users enable row level security")
    conn.execute("create policy own on users using (name <> 'hidden')")
    conn.execute("set local role idemdb_user")
    for statement in (
        "select from users_put_by_email_key('a', 'A')",
        "select from users_create_by_email_key('a', 'A')",
        "select from users_put_many_by_email_key('{b,a}', '{B,A}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught, conn.transaction():
            conn.execute(statement.encode())
        assert caught.value.diag.message_hint
    assert call(conn, "select outcome from users_put_by_email_key('c', 'C')") == [("created",)]


def test_sixteen_sessions_create_one_row(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        make(conn)

    def create(number: int) -> tuple[Any, ...]:
        with psycopg.connect(dsn) as own:
            return call(own, "select outcome, record from users_create_by_email_key('a', %s)", str(number))[0]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(create, range(16)))
    assert sorted(outcome for outcome, _ in answers) == ["created"] + ["existing"] * 15
    assert all(record == answers[0][1] for _, record in answers)


def test_opposite_batches_never_deadlock(dsn: str) -> None:
    keys = [f"k{number:03}" for number in range(60)]
    with psycopg.connect(dsn) as conn:
        make(conn)
        conn.execute("insert into users (email, name) select k, '' from unnest(%s::text[]) as k", [keys[::2]])

    def put(number: int) -> int:
        order = keys if number % 2 else keys[::-1]
        with psycopg.connect(dsn, autocommit=True) as own:
            for turn in range(10):
                names = [f"{number} {turn}"] * len(order)
                found = call(own, "select outcome from users_put_many_by_email_key(%s, %s)", order, names)
                assert len(found) == len(order)
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(put, range(4))) == 4


def test_an_unchanged_put_writes_nothing(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        make(conn)
        call(conn, "select from users_put_many_by_email_key('{a,b}', '{A,B}')")
    with psycopg.connect(dsn) as conn:
        assert call(conn, "select outcome from users_put_by_email_key('a', 'A')") == [("unchanged",)]
        assert (
            call(conn, "select outcome from users_put_many_by_email_key('{a,b}', '{A,B}')")
            == [("unchanged",)] * 2
        )
        assert call(conn, "select pg_current_xact_id_if_assigned()") == [(None,)]


def test_names(conn: psycopg.Connection[Any]) -> None:
    make(conn)
    conn.execute("alter index users_email_key rename to users_by_an_email_address_that_is_very_long_indeed")
    with pytest.raises(InvalidArgument, match="PostgreSQL keeps 63"):
        row_helpers.plan(
            row_helpers.of_psycopg(conn),
            "users",
            "users_by_an_email_address_that_is_very_long_indeed",
            ["create_many"],
        )
    conn.execute("alter index users_by_an_email_address_that_is_very_long_indeed rename to mail")
    conn.execute("create function users_put_by_mail() returns integer language sql as 'select 1'")
    with pytest.raises(InvalidArgument, match="which is no helper"):
        row_helpers.create(row_helpers.of_psycopg(conn), "users", "mail", ["put"])


@pytest.mark.parametrize("path", ["public", "pg_catalog", '"$user", public'])
def test_search_path_neither_matters_nor_changes(conn: psycopg.Connection[Any], path: str) -> None:
    database = make(conn)
    conn.execute("select set_config('search_path', %s, true)", [path])
    assert row_helpers.stale(database) == []
    assert call(conn, "select current_setting('search_path')") == [(path,)]
    assert call(conn, "select outcome from public.users_put_by_email_key('a', 'A')") == [("created",)]


def test_columns_named_like_everything_else(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        'create table t (outcome text, record text, item text, t text, r text, p_t text, "given" text, "Ü""x" text,'
        " n integer, constraint t_k unique (outcome))"
    )
    row_helpers.create(row_helpers.of_psycopg(conn), "t", "t_k")
    values = ["o", "rec", "i", "t", "r", "p", "g", "ü", 1]
    marks = ", ".join(["%s"] * 9)
    assert call(conn, f"select outcome, record ->> 'p_t' from t_put_by_k({marks})", *values) == [
        ("created", "p")
    ]
    assert call(conn, f"select outcome, record ->> 'p_t' from t_put_by_k({marks})", *values) == [
        ("unchanged", "p")
    ]
    arrays = [[value] for value in values]
    arrays[1] = ["other"]
    assert call(conn, f"select item, outcome from t_put_many_by_k({marks})", *arrays) == [(1, "updated")]
    assert call(conn, "select outcome from t_delete_by_k('o')") == [("deleted",)]


def test_batches_want_arrays_of_one_length(conn: psycopg.Connection[Any]) -> None:
    make(conn)
    for arguments in ("'{a}', '{}'", "null, '{}'", "'{{a}}', '{{b}}'"):
        with pytest.raises(psycopg.Error, match="one length") as caught, conn.transaction():
            conn.execute(f"select users_put_many_by_email_key({arguments})".encode())
        assert caught.value.sqlstate == "ID004"


def test_doctor_finds_stale_ones(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        make(conn)
        found = {f.id: f.level for f in doctor.examine(conn)}
        assert found["helpers"] == "ok"
        conn.execute("alter table users add visits integer")
        stale = [f for f in doctor.examine(conn) if f.id == "helpers"]
        assert len(stale) == len(VERBS) - 1  # delete takes the key alone
        assert stale[0].mend.startswith("idemdb helpers add users users_email_key --verb")
        conn.execute("drop table users")
        stale = [f for f in doctor.examine(conn) if f.id == "helpers"]
        assert {f.mend.split()[2] for f in stale} == {"drop"}


def test_plpgsql_check(conn: psycopg.Connection[Any]) -> None:
    if not call(conn, "select from pg_available_extensions where name = 'plpgsql_check'"):
        pytest.skip("this server has no plpgsql_check")
    conn.execute("create extension plpgsql_check with schema pg_catalog")
    make_tables(conn)
    database = row_helpers.of_psycopg(conn)
    for table in (
        "users",
        "accounts",
        "documents",
        "addresses",
        "orders",
        "readings",
        "subscriptions",
        "visits",
        "things",
    ):
        (index,) = call(
            conn,
            "select c.relname from pg_index as i join pg_class as c on c.oid = i.indexrelid"
            " where i.indrelid = %s::text::regclass and i.indisunique and not i.indisprimary",
            f"shop.{table}",
        )[0]
        row_helpers.create(database, table, index, schema="shop")
    found = call(
        conn,
        "select p.proname, c.level, c.lineno, c.message from pg_proc as p join pg_language as l on l.oid = p.prolang"
        " and l.lanname = 'plpgsql', plpgsql_check_function_tb(p.oid, fatal_errors => false) as c"
        " where p.pronamespace = 'shop'::regnamespace and p.prorettype <> 'trigger'::regtype and c.level = 'error'",
    )
    assert found == []
