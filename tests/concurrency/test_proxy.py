"""The fault proxy: loses a COMMIT or its answer, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb.demo.proxy import Cut, FaultProxy

ANY = re.compile(r"insert.*", re.DOTALL)


@pytest.fixture
def proxy(dsn: str) -> Iterator[FaultProxy]:
    with psycopg.connect(dsn) as connection:
        connection.execute("create table public.mark (value text)")
        target = connection.info
        host, port = target.hostaddr or target.host, target.port
    with FaultProxy(host, port) as running:
        yield running


def through(proxy: FaultProxy, dsn: str) -> str:
    """Point a DSN at the proxy."""
    return make_conninfo(dsn, host=proxy.host, port=proxy.port)


def marks(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [value for (value,) in connection.execute("select value from public.mark order by value")]


def test_without_an_order_nothing_is_cut(proxy: FaultProxy, dsn: str) -> None:
    with psycopg.connect(through(proxy, dsn)) as connection:
        connection.execute("insert into public.mark values (%s)", ["a" * 100_000])
        assert connection.execute("select repeat('b', 100000)").fetchone() == ("b" * 100_000,)
    assert [len(mark) for mark in marks(dsn)] == [100_000]
    assert proxy.cuts == 0


@pytest.mark.parametrize(("when", "kept"), [(Cut.BEFORE, []), (Cut.AFTER, ["a"])])
def test_commit_of_a_simple_query(proxy: FaultProxy, dsn: str, when: Cut, kept: list[str]) -> None:
    connection = psycopg.connect(through(proxy, dsn))
    connection.execute("insert into public.mark values ('a')")
    proxy.cut_next(when)
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    assert connection.closed
    assert marks(dsn) == kept
    assert proxy.cuts == 1
    with psycopg.connect(through(proxy, dsn)) as other:  # one order, one cut
        other.execute("insert into public.mark values ('b')")
    assert marks(dsn) == [*kept, "b"]


@pytest.mark.parametrize(("when", "kept"), [(Cut.BEFORE, []), (Cut.AFTER, ["a"])])
def test_commit_in_a_pipeline(proxy: FaultProxy, dsn: str, when: Cut, kept: list[str]) -> None:
    connection = psycopg.connect(through(proxy, dsn))
    proxy.cut_next(when)
    with pytest.raises(psycopg.OperationalError), connection.pipeline():
        cursor = connection.execute("insert into public.mark values ('a') returning value")
        assert cursor.fetchone() == ("a",)  # the answer to the request before is not lost
        connection.commit()
    assert marks(dsn) == kept


@pytest.mark.parametrize(("when", "kept"), [(Cut.BEFORE, []), (Cut.AFTER, ["a"])])
async def test_autocommitted_prepared_statement(
    proxy: FaultProxy, dsn: str, when: Cut, kept: list[str]
) -> None:
    words = conninfo_to_dict(dsn)
    connection = await asyncpg.connect(
        host=proxy.host,
        port=proxy.port,
        user=words["user"],
        password=words.get("password"),
        database=words["dbname"],
        ssl="prefer",  # declined by the proxy, taken without
    )
    proxy.cut_next(when, ANY)
    with pytest.raises((asyncpg.PostgresConnectionError, ConnectionError)):
        await connection.fetch("insert into public.mark values ($1) returning value", "a")
    connection.terminate()
    assert marks(dsn) == kept


def test_an_order_waits_for_its_statement(proxy: FaultProxy, dsn: str) -> None:
    with psycopg.connect(through(proxy, dsn), autocommit=True) as connection:
        proxy.cut_next(Cut.AFTER)
        connection.execute("insert into public.mark values ('commit')")
        connection.execute("begin")
        with pytest.raises(psycopg.OperationalError):
            connection.execute(" COMMIT work;")
    assert marks(dsn) == ["commit"]


def test_a_server_that_is_away_closes_the_client(dsn: str) -> None:
    with FaultProxy("127.0.0.1", 1) as proxy, pytest.raises(psycopg.OperationalError):
        psycopg.connect(through(proxy, dsn))
