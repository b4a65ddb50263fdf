"""``retry`` and ``aretry``: real conflicts, deadlocks and lost connections of every driver."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from idemdb import aretry, retry
from idemdb.errors import is_transient, sqlstate_of
from tests.conftest import MakeConnection
from tests.support.drivers import Kit


def _kill(kit: Kit, pid: int) -> None:
    with psycopg.connect(kit.dsn, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(%s, 10000)", [pid])


async def test_a_lost_connection_is_repeated(kit: Kit) -> None:
    tries: list[int] = []

    async def transaction() -> str:
        connection = await kit.open()
        async with kit.transaction(connection) as idem:
            claim = await idem.claim("s", "k")
            tries.append(1)
            if len(tries) == 1:
                [[pid]] = await kit.sql(connection, "select pg_backend_pid()")
                _kill(kit, pid)
            await idem.complete("s", "k", claim.claim_token)
        outcome: str = claim.outcome
        return outcome

    assert await aretry(transaction) == "started"
    assert len(tries) == 2


async def test_only_conflicts_are_repeated(kit: Kit) -> None:
    connection = await kit.open()
    for sqlstate, calls in {"40001": 2, "40P01": 2, "55P03": 1, "22012": 1, "ID001": 1}.items():
        tries: list[int] = []

        async def transaction(sqlstate: str = sqlstate, tries: list[int] = tries) -> None:
            tries.append(1)
            async with kit.transaction(connection):
                await kit.sql(connection, f"do $$ begin raise sqlstate '{sqlstate}'; end $$")

        with pytest.raises(kit.database_error) as caught:
            await aretry(transaction, attempts=2)
        assert sqlstate_of(caught.value) == sqlstate
        assert is_transient(caught.value) is (calls == 2)
        assert len(tries) == calls


def test_a_serialization_failure_is_repeated(dsn: str, make_conn: MakeConnection) -> None:
    first, second = make_conn(dsn), make_conn(dsn)
    first.execute("create table account (n integer)")
    first.execute("insert into account values (0)")
    first.commit()
    second.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    tries: list[int] = []

    def transaction() -> None:
        tries.append(1)
        with second.transaction():
            second.execute("select n from account")
            if len(tries) == 1:
                first.execute("update account set n = n + 1")
                first.commit()
            second.execute("update account set n = n + 10")

    retry(transaction)
    assert len(tries) == 2
    assert first.execute("select n from account").fetchone() == (11,)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), TimeoutError(), KeyError("k"), psycopg.DataError("x")]
)
def test_errors_of_others_are_raised_at_once(error: Exception) -> None:
    tries: list[Any] = []

    def transaction() -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        retry(transaction)
    assert len(tries) == 1


async def test_the_last_error_is_raised() -> None:
    tries: list[int] = []

    def transaction() -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure(str(len(tries)))

    with pytest.raises(psycopg.errors.SerializationFailure, match="3"):
        retry(transaction, attempts=3)
    assert len(tries) == 3
