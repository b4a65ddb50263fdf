"""A leased run with two foreign calls, of which the one that is named hangs after it was made.

Usage: ``python -m tests.concurrency.stepper DSN abandoned hangs`` (``retry`` or ``hold``; ``reserve``,
``charge`` or ``nothing``). The service is a table: it notes the idempotency key of each call that it gets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

import psycopg

from idemdb import Idem
from idemdb.sync import Op


def main(dsn: str, abandoned: Literal["retry", "hold"], hangs: str) -> None:
    """Run, and print the answer."""
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        psycopg.connect(dsn, autocommit=True) as service,
    ):

        def handler(op: Op) -> list[str]:
            def call(name: str) -> Callable[[], str]:
                def made() -> str:
                    call = "insert into public.effect values ('called', %s, %s)"
                    service.execute(call, [name, op.key_for(name)])
                    if hangs == name:
                        print("here", flush=True)
                        sys.stdin.read()
                    return f"{name} done"

                return made

            return [op.step(name, call(name)) for name in ("reserve", "charge")]

        outcome = Idem(connection).run("s", "k", handler, lease=60, wait=0, abandoned=abandoned)
        print(outcome.value, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], "hold" if sys.argv[2] == "hold" else "retry", sys.argv[3])
