"""One of several processes through which a stream of deliveries goes: each event three times, shuffled.

Usage: ``python -m tests.concurrency.deliverer DSN EVENTS BATCH PART PARTS``
"""

from __future__ import annotations

import random
import sys

import psycopg

DELIVERIES = 3

HANDLE = """
    with outcome as (select * from idemdb.process_many('billing', %s::text[])),
    effect as (
        insert into public.handled select event_id from outcome where outcome = 'first_seen' returning 1
    )
    select (select count(*) from effect), count(*) from outcome
"""


def main(dsn: str, events: int, batch: int, part: int, parts: int) -> None:
    """Handle this part of the deliveries, a batch a transaction; print how many were new, of how many."""
    # The same shuffle in every process.
    deliveries = list(range(events * DELIVERIES))
    random.Random(4711).shuffle(deliveries)
    mine = [f"event-{delivery % events}" for delivery in deliveries[part::parts]]
    del deliveries
    new = told = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in range(0, len(mine), batch):
            row = connection.execute(HANDLE, [mine[start : start + batch]]).fetchone()
            assert row is not None
            new, told = new + row[0], told + row[1]
    print(new, told)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
