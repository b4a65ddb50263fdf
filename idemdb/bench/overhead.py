"""What a call of Idem costs more than the same function called through psycopg alone: processor time."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import process_time
from typing import Any

import psycopg

from idemdb import Fingerprint, Idem
from idemdb.bench.cases import KEY_TAIL, PARAMETERS, STORED

_CLAIM = "select outcome, status, result, reference from idemdb.claim(%s, %s, %s)"
_EXECUTE = "select outcome, status, result, reference from idemdb.execute(%s, %s, %s, %s)"
_FUNCTION = "bench.echo"
_ARGUMENTS = {"amount": 500}


def measure(dsn: str, rounds: int, calls: int) -> dict[str, list[float]]:
    """Return by method of Idem how many microseconds a call needs more, in every round.

    :param dsn: of the benchmark's database.
    :param rounds: how many.
    :param calls: in every round, of either side.

    The calls are replays, so that the server does the same each time.
    """
    with psycopg.connect(dsn) as connection:
        idem, cursor = Idem(connection), connection.cursor()
        scope = PARAMETERS["scope"]
        digest = Fingerprint(bytes.fromhex(PARAMETERS["fingerprint"][2:]))

        def bare(statement: str, *parameters: Any) -> Callable[[str], Any]:
            return lambda key: cursor.execute(statement.encode(), (scope, key, *parameters)).fetchone()

        pairs: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {
            "claim": (
                bare(_CLAIM, bytes(digest)),
                lambda key: idem.claim(scope, key, request=digest),
            ),
            "execute": (
                bare(_EXECUTE, _FUNCTION, PARAMETERS["request"]),
                lambda key: idem.execute(scope, key, _FUNCTION, _ARGUMENTS),
            ),
        }
        found: dict[str, list[float]] = {}
        for name, (alone, method) in pairs.items():
            _microseconds(alone, calls), _microseconds(method, calls)
            found[name] = [_microseconds(method, calls) - _microseconds(alone, calls) for _ in range(rounds)]
        return found


def _microseconds(call: Callable[[str], Any], calls: int) -> float:
    """Return the processor time of this process for one call."""
    keys = [f"{random.choice(STORED)}{KEY_TAIL}" for _ in range(calls)]  # noqa: S311
    started = process_time()
    for key in keys:
        call(key)
    return (process_time() - started) / calls * 1e6
