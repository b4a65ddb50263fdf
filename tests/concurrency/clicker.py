"""One of many processes that click "Pay" with the same key: prints its answer as JSON.

Usage: ``python -m tests.concurrency.clicker DSN GATE run|execute``
"""

from __future__ import annotations

import json
import sys
import uuid

import psycopg

from idemdb import Idem


def main(dsn: str, gate: int, way: str) -> None:
    """Wait at the gate, then pay.

    :param gate: the advisory lock that is held until every process has come.
    :param way: ``run`` a handler in this process, or ``execute`` a function in the database.
    """
    request = {"amount": 500}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_catalog.pg_advisory_lock_shared(%s)", [gate])
        connection.execute("select pg_catalog.pg_advisory_unlock_shared(%s)", [gate])
        with connection.transaction():
            idem = Idem(connection)
            if way == "execute":
                claim = idem.execute("ann:pay", "click", "public.charge", request, wait=60)
                print(json.dumps([claim.outcome, claim.result]))
                return

            def charge(_: object) -> dict[str, str]:
                charged = str(uuid.uuid4())
                connection.execute("insert into public.charge values (%s)", [charged])
                return {"charge": charged}

            outcome = idem.run("ann:pay", "click", charge, request=request, wait=60)
            print(json.dumps([outcome.outcome, outcome.value]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
