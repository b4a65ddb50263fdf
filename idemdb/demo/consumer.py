"""A worker that books the provider's events: each order is a delivery of one.

A reply says ``acknowledged``, or ``refused``: then the provider delivers it again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from idemdb.consumer import Consumer
from idemdb.demo.orders import Channel, Hold, Order, Reply

NAME: Final = "bookings"

_BOOK = sql.SQL(
    "insert into {}.bookings (event, charge, amount, currency) "
    "values (%(id)s, %(charge)s, %(amount)s, %(currency)s)"
)


@dataclass(frozen=True)
class Setup:
    """How a worker works.

    :param dsn: of the database.
    :param schema: where the table of bookings is.
    :param protected: whether it goes through idemdb.
    """

    dsn: str
    schema: str
    protected: bool


class Bookkeeper:
    """Book one delivery after the other."""

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self._channel = channel
        self._protected = setup.protected
        self._book = _BOOK.format(sql.Identifier(setup.schema))
        self._connection = psycopg.connect(setup.dsn, autocommit=True)
        self._consumer = Consumer(NAME, lambda: nullcontext(self._connection))

    def handle(self, order: Order) -> Reply:
        """Handle one delivery in one transaction."""
        acknowledge = self._handle_once(order) if self._protected else self._handle(order)
        self._channel.stop_at(Hold.AFTER_COMMIT, order)
        return {"event": "acknowledged" if acknowledge else "refused"}

    def _handle_once(self, order: Order) -> bool:
        """Book with idemdb: booking and "seen" commit together, and an event that fails is given up."""
        delivery = self._consumer.handle(order["id"], lambda event: self._insert(event.connection, order))
        return delivery.acknowledge

    def _handle(self, order: Order) -> bool:
        """Book without idemdb."""
        try:
            with self._connection.transaction():
                self._insert(self._connection, order)
        except psycopg.Error:
            return False
        return True

    def _insert(self, connection: psycopg.Connection[Any], order: Order) -> None:
        """Book."""
        connection.execute(self._book, order)
        self._channel.stop_at(Hold.BEFORE_COMMIT, order)


def main() -> None:
    """Serve stdin until it ends."""
    channel = Channel()
    channel.serve(Bookkeeper(Setup(**channel.setup), channel).handle)


if __name__ == "__main__":
    main()
