"""Write a bill for each payment event of a Redis stream, once, however often it is delivered.

    python consumer.py redis://localhost/ postgresql://app@localhost/app NAME

Needs ``pip install 'idemdb[redis]'`` and the table of README.md. Each process has a NAME of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg
import redis
from sqlalchemy import Engine, create_engine, text

from idemdb.consumer import Consumer
from idemdb.event_flows import Event

STREAM, GROUP = "payments", "billing"
ABANDONED_AFTER = 1000
"""Milliseconds after which an entry that nobody acknowledged is delivered again, to whoever asks first."""

Fields = dict[bytes, bytes]


def bill(event: Event, fields: Fields) -> None:
    """Handle the event: what is written over its connection commits together with "seen", or not at all."""
    event.connection.execute(
        text("insert into bills (event_id, amount) values (:event_id, :amount)"),
        {"event_id": event.event_id, "amount": int(fields[b"amount"])},
    )


def entries(broker: redis.Redis, name: str) -> Iterator[tuple[bytes, Fields]]:
    """Yield entries for ever: those that were delivered and never acknowledged, and new ones."""
    while True:
        _, abandoned, *_ = broker.xautoclaim(STREAM, GROUP, name, ABANDONED_AFTER, count=10)
        # An entry that was deleted from the stream has no fields left.
        yield from (entry for entry in abandoned if entry[1])
        for _, new in broker.xreadgroup(GROUP, name, {STREAM: ">"}, count=10, block=500) or []:
            yield from new


def consume(broker: redis.Redis, engine: Engine, name: str) -> None:
    """Handle entries until the process is stopped, by whatever means."""
    consumer = Consumer("billing", engine)
    try:
        broker.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # it exists
            raise
    for entry, fields in entries(broker, name):
        # The producer's id of the event. The entry's would be another one if the producer added it twice.
        event_id = fields[b"event_id"].decode()
        delivery = consumer.handle(event_id, lambda event, fields=fields: bill(event, fields))
        print(event_id, delivery.outcome, flush=True)
        # The transaction is committed. If this process dies here, the entry is claimed again: a duplicate.
        if delivery.acknowledge:
            broker.xack(STREAM, GROUP, entry)


if __name__ == "__main__":
    url, dsn, consumer_name = sys.argv[1:]
    consume(
        redis.Redis.from_url(url),
        create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn)),
        consumer_name,
    )
