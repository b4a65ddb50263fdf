"""A worker of the payment service: each order is a payment request.

A reply says ``paid``, ``refused``, ``busy`` or ``failed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from idemdb import Idem, KeyInProgress, ParameterMismatch
from idemdb.demo import receipts
from idemdb.demo.orders import Channel, Hold, Order, Reply

_CHARGE = sql.SQL(
    "insert into {}.charges (scope, key, amount, currency, request) "
    "values (%(scope)s, %(key)s, %(amount)s, %(currency)s, %(request)s) returning id, amount, currency"
)


@dataclass(frozen=True)
class Setup:
    """How a worker works.

    :param dsn: of the database.
    :param schema: where the table of charges is.
    :param protected: whether it charges through idemdb.
    :param mail_port: of the mail server, for who sends mail directly.
    """

    dsn: str
    schema: str
    protected: bool
    mail_port: int


class Worker:
    """Handle one order after the other, on one connection as long as it lasts."""

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self._setup = setup
        self._channel = channel
        self._charge = _CHARGE.format(sql.Identifier(setup.schema))
        self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._setup.dsn, autocommit=True, row_factory=dict_row)

    def handle(self, order: Order) -> Reply:
        """Handle one payment request in one transaction, however it ends."""
        started = perf_counter()
        try:
            if self._connection.closed:
                self._connection = self._connect()
            with self._connection.transaction():
                reply = self._pay_once(order) if self._setup.protected else self._pay(order)
                self._channel.stop_at(Hold.BEFORE_COMMIT, order)
        except psycopg.OperationalError as error:
            return {"event": "failed", "why": str(error).strip()}
        self._channel.stop_at(Hold.AFTER_COMMIT, order)
        reply["ms"] = (perf_counter() - started) * 1000
        if not self._setup.protected:
            # Not before COMMIT, which may fail. The clock has stopped: a mail is no part of the comparison.
            receipts.send(reply["receipt"], self._setup.mail_port)
        return reply

    def _pay_once(self, order: Order) -> Reply:
        """Charge with idemdb: claim, charge, receipt and mail commit together; a repeat gets that receipt."""
        request = {"amount": order["amount"], "currency": order["currency"]}
        idem = Idem(self._connection)

        def charge(_: object) -> Any:
            receipt = self._insert(order)
            idem.outbox_add(
                receipts.TOPIC,
                receipts.dedup_key(receipt),
                receipts.payload(receipt),
                headers=receipts.headers(receipt),
            )
            return receipt

        try:
            paid = idem.run(order["scope"], order["key"], charge, request=request)
        except ParameterMismatch:
            return {"event": "refused"}
        except KeyInProgress:
            return {"event": "busy"}
        return {"event": "paid", "receipt": paid.value}

    def _pay(self, order: Order) -> Reply:
        """Charge without idemdb."""
        return {"event": "paid", "receipt": self._insert(order)}

    def _insert(self, order: Order) -> Any:
        """Charge, and return the receipt."""
        return self._connection.execute(self._charge, order).fetchone()


def main() -> None:
    """Serve stdin until it ends."""
    channel = Channel()
    channel.serve(Worker(Setup(**channel.setup), channel).handle)


if __name__ == "__main__":
    main()
