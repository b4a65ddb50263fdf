"""Write a bill for each payment event of a RabbitMQ queue, once, however often the broker delivers it.

    python consumer.py amqp://guest:guest@localhost/ postgresql://app@localhost/app

Needs ``pip install 'idemdb[rabbitmq]'`` and the table of README.md.
"""

from __future__ import annotations

import json
import sys

import pika
import psycopg
from sqlalchemy import Engine, create_engine, text

from idemdb.consumer import Consumer
from idemdb.event_flows import Event

QUEUE = "payments"


def bill(event: Event, body: bytes) -> None:
    """Handle the event: what is written over its connection commits together with "seen", or not at all."""
    payment = json.loads(body)
    event.connection.execute(
        text("insert into bills (event_id, amount) values (:event_id, :amount)"),
        {"event_id": event.event_id, "amount": payment["amount"]},
    )


def consume(broker: str, engine: Engine) -> None:
    """Handle deliveries until the process is stopped, by whatever means."""
    consumer = Consumer("billing", engine)
    with pika.BlockingConnection(pika.URLParameters(broker)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        channel.basic_qos(prefetch_count=1)
        for method, properties, body in channel.consume(QUEUE):
            # The producer's id of the event. RabbitMQ's delivery tag would be another one at each delivery.
            event_id = properties.message_id
            delivery = consumer.handle(event_id, lambda event, body=body: bill(event, body))
            print(event_id, delivery.outcome, flush=True)
            # The transaction is committed. If this process dies here, the broker delivers again: a duplicate.
            if delivery.acknowledge:
                channel.basic_ack(method.delivery_tag)
            else:
                channel.basic_nack(method.delivery_tag, requeue=True)


if __name__ == "__main__":
    amqp, dsn = sys.argv[1:]
    consume(amqp, create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn)))
