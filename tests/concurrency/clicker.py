"""Many processes that click "Pay" with the same key: each prints its outcome and answer as a line of JSON.

Usage: ``python -m tests.concurrency.clicker DSN GATE run|execute CLICKS``
"""

from __future__ import annotations

import json
import os
import sys
import uuid

import psycopg

from idemdb import Idem


def click(dsn: str, gate: int, way: str) -> None:
    """Wait at the gate, then pay.

    :param gate: the advisory lock that is held until every process has come.
    :param way: ``run`` a handler in this process, or ``execute`` a function in the database.
    """
    request = {"amount": 500}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_catalog.pg_advisory_lock_shared(%s)", [gate])
        connection.execute("select pg_catalog.pg_advisory_unlock_shared(%s)", [gate])
        idem = Idem(connection)

        def charge(_: object) -> dict[str, str]:
            charged = str(uuid.uuid4())
            connection.execute("insert into public.charge values (%s)", [charged])
            return {"charge": charged}

        with connection.transaction():
            if way == "execute":
                claim = idem.execute("ann:pay", "click", "public.charge", request, wait=60)
                answer = [claim.outcome, claim.result]
            else:
                done = idem.run("ann:pay", "click", charge, request=request, wait=60)
                answer = [done.outcome, done.value]
    os.write(1, json.dumps(answer).encode() + b"\n")  # in one piece


def main(dsn: str, gate: int, way: str, clicks: int) -> int:
    """Fork the processes, after the imports that would cost each of them a second, and wait for all."""
    for _ in range(clicks):
        if not os.fork():
            click(dsn, gate, way)
            os._exit(0)
    return max(os.wait()[1] for _ in range(clicks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])) != 0)
