"""The index of a natural key is built on a live table, whatever an interrupted build left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from idemdb import index_build
from idemdb.errors import InvalidArgument
from idemdb.natural_key import describe
from tests.conftest import MakeConnection


@pytest.fixture
def live(empty_dsn: str) -> Iterator[Connection]:
    engine = create_engine(empty_dsn.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                "create table users (id integer generated always as identity, org integer, email text, "
                "name varchar(80), status text, deleted_at timestamptz, at timestamptz, payload jsonb, "
                "raw bytea)"
            )
        )
        yield connection


def insert(live: Connection, values: str) -> None:
    live.execute(text(f"insert into users (org, email) values {values}"))


KEYS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["email"], "plain", {}),
    (["email"], "plain", {"tombstone": "deleted_at"}),
    (["org", "email"], "tenant-scoped", {}),
    (["org", "email"], "case-insensitive", {}),
    (["org", "name"], "case-insensitive", {}),
    (["email"], "soft-delete", {}),
    (["org"], "one-active", {"where": "status = 'active: 100%'"}),
    (["email"], "nulls-not-distinct", {}),
    (["org", "payload"], "digest", {}),
    (["raw:bytea"], "digest", {}),
    (["org", "payload->customer->id"], "json-path", {}),
    (["payload->>id"], "json-path", {}),
    (["org", "at/5 minutes"], "time-window", {}),
]


@pytest.mark.parametrize(("columns", "how", "options"), KEYS)
def test_every_template_is_built_and_recognised(
    live: Connection, columns: list[str], how: str, options: dict[str, Any]
) -> None:
    key = describe("users", columns, how, **options)
    assert index_build.build(live, key).outcome == "built"
    assert index_build.build(live, key).outcome == "present"
    comment = live.scalar(
        text("select obj_description(to_regclass(:name), 'pg_class')"), {"name": key.qualified_name}
    )
    assert comment == key.comment
    assert live.scalar(text("show lock_timeout")) == "0"
    assert index_build.drop(live, key)
    assert not index_build.drop(live, key)


def test_an_invalid_index_is_repaired(live: Connection) -> None:
    insert(live, "(1, 'a'), (1, 'a')")
    with pytest.raises(Exception, match="could not create unique index"):
        live.execute(text('create unique index concurrently "users_email_key" on users (email)'))
    key = describe("users", "email")
    with pytest.raises(index_build.DuplicateRows, match="1 keys") as caught:
        index_build.build(live, key)
    assert (caught.value.groups, caught.value.rows) == (1, 2)
    assert "idemdb natural-key report users email" in str(caught.value)
    # What was left behind would refuse rows and be no conflict target.
    assert live.scalar(text("select to_regclass('users_email_key') is null"))
    with pytest.raises(Exception, match="could not create unique index"):
        live.execute(text('create unique index concurrently "users_email_key" on users (email)'))
    live.execute(text("delete from users where id = 1"))
    assert index_build.build(live, key).outcome == "repaired"
    assert index_build.build(live, key).outcome == "present"


def test_another_index_of_the_name_is_not_taken(live: Connection) -> None:
    live.execute(text("create unique index users_email_key on users (org)"))
    with pytest.raises(InvalidArgument, match="is another one"):
        index_build.build(live, describe("users", "email"))


def test_an_old_transaction_is_named(live: Connection, empty_dsn: str, make_conn: MakeConnection) -> None:
    insert(live, "(1, 'a')")
    writer = make_conn(empty_dsn)
    writer.execute("update users set org = 2")
    with pytest.raises(index_build.IndexNotBuilt, match="was not got") as caught:
        index_build.build(live, describe("users", "email"), wait=0.1, lock_timeout=0.1, attempts=2)
    assert f"pid {writer.info.backend_pid}" in str(caught.value)
    writer.rollback()
    index_build.build(live, describe("users", "email"))


def test_partition_by_partition(live: Connection) -> None:
    live.execute(text("create table events (id text, part integer) partition by list (part)"))
    live.execute(text("create table events_1 partition of events for values in (1)"))
    live.execute(text("create table events_2 partition of events for values in (2) partition by list (part)"))
    live.execute(text("create table events_2a partition of events_2 default"))
    key = describe("events", ["id", "part"])
    live.execute(text("insert into events values ('a', 1), ('b', 2), ('b', 2)"))
    with pytest.raises(index_build.DuplicateRows, match='"events" stand in 2 rows'):
        index_build.build(live, key)
    live.execute(text("delete from events where id = 'b'"))
    assert index_build.build(live, key).outcome == "repaired"
    assert index_build.build(live, key).outcome == "present"
    live.execute(text("insert into events values ('a', 1) on conflict (id, part) do nothing"))
    with pytest.raises(InvalidArgument, match="lacks a column"):
        index_build.build(live, describe("events", "id"))
    assert index_build.drop(live, key)


def test_needs_autocommit(live: Connection) -> None:
    with live.engine.connect() as connection, pytest.raises(InvalidArgument, match="outside of transactions"):
        index_build.build(connection, describe("users", "email"))


@pytest.mark.parametrize(
    ("columns", "how", "options", "why"),
    [
        (["nothing"], "plain", {}, "no column nothing"),
        (["raw"], "digest", {}, "of type bytea"),
        (["payload:bytea"], "digest", {}, "of type jsonb"),
        (["org", "name/5 minutes"], "time-window", {}, "of type character varying"),
        (["email"], "plain", {"tombstone": "status"}, "of type text"),
    ],
)
def test_what_the_table_cannot_carry(
    live: Connection, columns: list[str], how: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        index_build.build(live, describe("users", columns, how, **options))
    assert caught.value.hint
