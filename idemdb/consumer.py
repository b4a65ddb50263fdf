"""Between a broker and the inbox: from a delivery to whether to acknowledge it.

A broker's consumer is a loop of a few lines around ``handle``::

    consumer = Consumer("billing", create_engine(dsn))
    for method, properties, body in channel.consume("events"):
        delivery = consumer.handle(properties.message_id, lambda event: bill(event.connection, body))
        if delivery.acknowledge:
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_nack(method.delivery_tag, requeue=True)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from idemdb import event_flows
from idemdb.calls import events
from idemdb.drivers import adapt, adapt_async
from idemdb.event_flows import Event
from idemdb.opening import opened, opened_async
from idemdb.results import EventOutcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """What became of a delivery: the outcome of its event, what the handler returned, or what it raised.

    'retrying' says that the handler failed and the event is to be delivered again; 'dead' that it was given
    up, now or before.
    """

    outcome: EventOutcome | Literal["retrying"]
    value: T | None = None
    error: Exception | None = None

    @property
    def acknowledge(self) -> bool:
        """Say whether the broker may forget it."""
        return self.outcome != "retrying"


class Consumer:
    """Handles deliveries, each in a transaction of its own that has ended when the broker is told."""

    def __init__(self, name: str, connect: Any) -> None:
        """Name the consumer, and say where connections come from.

        :param connect: an SQLAlchemy engine, a pool of psycopg, or a function that opens a connection. To
            keep one connection give ``lambda: contextlib.nullcontext(connection)``.
        """
        self.name = name
        self._connect = connect

    def handle(
        self, event_id: str, handler: Callable[[Event], T], occurred_at: datetime | None = None
    ) -> Delivery[T]:
        """Handle an event once; ``handler(event)`` works over ``event.connection``.

        When the handler or the commit fails, everything is rolled back and the failure is counted in another
        transaction; the error is in the answer. The parameters are those of ``Idem.process``.

        :raises Exception: where not even that could be counted, such as without a database: the delivery is
            not to be acknowledged.
        """
        ask = events.process(self.name, event_id, occurred_at)
        try:
            with opened(self._connect) as connection:
                event = Event(connection, self.name, event_id)
                processed = adapt(connection).drive(event_flows.delivered(event, ask, handler))
        except Exception as error:  # noqa: BLE001 - whatever it is, it counts
            # On a new connection: the other one may be lost.
            with opened(self._connect) as connection:
                event = Event(connection, self.name, event_id)
                return _failure(adapt(connection).drive(event_flows.failed(event, error)), error)
        return Delivery(processed.outcome, processed.value)


class AsyncConsumer:
    """``Consumer`` with ``await``: also with asyncpg's pool, and functions that return awaitables."""

    def __init__(self, name: str, connect: Any) -> None:
        """Do what ``Consumer`` does."""
        self.name = name
        self._connect = connect

    async def handle(
        self, event_id: str, handler: Callable[[Event], Awaitable[T]], occurred_at: datetime | None = None
    ) -> Delivery[T]:
        """Do what ``Consumer.handle`` does."""
        ask = events.process(self.name, event_id, occurred_at)
        try:
            async with opened_async(self._connect) as connection:
                event = Event(connection, self.name, event_id)
                processed = await adapt_async(connection).drive(event_flows.delivered(event, ask, handler))
        except Exception as error:  # noqa: BLE001 - whatever it is, it counts
            async with opened_async(self._connect) as connection:
                event = Event(connection, self.name, event_id)
                return _failure(await adapt_async(connection).drive(event_flows.failed(event, error)), error)
        return Delivery(processed.outcome, processed.value)


def _failure(outcome: Any, error: Exception) -> Delivery[Any]:
    """Return the delivery of an event whose handler failed."""
    return Delivery(outcome, error=error)
