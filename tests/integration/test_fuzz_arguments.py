"""Scopes and keys at the limits, in every function that takes them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from psycopg.types.json import Jsonb

from tests.support.strategies import names, octets, sized, too_long

CALLS: dict[str, tuple[Any, ...]] = {
    "claim": (b"",),
    "complete": (1,),
    "checkpoint": (1, "point"),
    "renew": (1, "1s"),
    "release": (1,),
    "lookup": (),
    "resolve": ("forget", "note"),
    "execute": ("public.echo", Jsonb({})),
}


@pytest.fixture
def connection(dsn: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create function public.echo(p jsonb) returns jsonb language sql return p")
        yield connection


@sized(25, large=500)
@given(scope=names | too_long, key=names | too_long)
def test_only_names_of_1_to_255_octets_are_taken(
    connection: psycopg.Connection[Any], scope: str, key: str
) -> None:
    valid = all(1 <= octets(name) <= 255 for name in (scope, key))
    for function, more in CALLS.items():
        places = ", ".join(["%s"] * (2 + len(more)))
        error = None
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"select * from idemdb.{function}({places})", [scope, key, *more])
        except psycopg.Error as raised:
            error = raised.diag
        if error is None:
            assert valid, function
        else:
            assert error.sqlstate in ({"ID003", "ID004"} if valid else {"ID004"}), function
            assert error.message_hint, function
    assert connection.execute("select count(*) from idemdb.keys").fetchone() == (0,)
