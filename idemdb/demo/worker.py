"""A worker of the payment service: a process that takes orders on stdin and replies on stdout.

Both are JSON, one object a line. The first line in is the `Setup`; every other one is an order: the members
of a payment request, and ``hold``, where to stop for the demo to kill the process. A reply is an object with
the member ``event``: ``ready``, ``holding``, ``paid``, ``refused``, ``busy`` or ``failed``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from idemdb import Idem, KeyInProgress, ParameterMismatch

Order = dict[str, Any]
Reply = dict[str, Any]

_CHARGE = sql.SQL(
    "insert into {}.charges (scope, key, amount, currency, request) "
    "values (%(scope)s, %(key)s, %(amount)s, %(currency)s, %(request)s) returning id, amount, currency"
)


class Hold(StrEnum):
    """Where a worker stops and waits for its end."""

    BEFORE_COMMIT = "before COMMIT"
    AFTER_COMMIT = "after COMMIT"


@dataclass(frozen=True)
class Setup:
    """How a worker works.

    :param dsn: of the database.
    :param schema: where the table of charges is.
    :param protected: whether it charges through idemdb.
    """

    dsn: str
    schema: str
    protected: bool


class Worker:
    """Handle one order after the other, on one connection as long as it lasts."""

    def __init__(self, setup: Setup, orders: Iterator[Order], say: Callable[[Reply], None]) -> None:
        self._setup = setup
        self._orders = orders
        self._say = say
        self._charge = _CHARGE.format(sql.Identifier(setup.schema))
        self._connection = self._connect()

    def run(self) -> None:
        """Serve until there are no more orders."""
        self._say({"event": "ready"})
        for order in self._orders:
            self._say(self._handle(order))

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._setup.dsn, autocommit=True, row_factory=dict_row)

    def _handle(self, order: Order) -> Reply:
        """Handle one payment request in one transaction, however it ends."""
        started = perf_counter()
        try:
            if self._connection.closed:
                self._connection = self._connect()
            with self._connection.transaction():
                reply = self._pay_once(order) if self._setup.protected else self._pay(order)
                self._stop_at(Hold.BEFORE_COMMIT, order)
        except psycopg.OperationalError as error:
            return {"event": "failed", "why": str(error).strip()}
        self._stop_at(Hold.AFTER_COMMIT, order)
        return reply | {"ms": (perf_counter() - started) * 1000}

    def _pay_once(self, order: Order) -> Reply:
        """Charge with idemdb: claim, charge and receipt commit together, and a repeat gets that receipt."""
        request = {"amount": order["amount"], "currency": order["currency"]}
        idem = Idem(self._connection)
        try:
            paid = idem.run(order["scope"], order["key"], lambda _: self._insert(order), request=request)
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

    def _stop_at(self, place: Hold, order: Order) -> None:
        """Say so and wait, if this is where the order wants the process to be killed."""
        if order["hold"] == place:
            self._say({"event": "holding"})
            next(self._orders, None)
            sys.exit("the demo ended before it killed this worker")


def _print(reply: Reply) -> None:
    print(json.dumps(reply), flush=True)


def main() -> None:
    """Serve stdin until it ends."""
    lines = iter(sys.stdin.readline, "")
    setup = Setup(**json.loads(next(lines)))
    Worker(setup, map(json.loads, lines), _print).run()


if __name__ == "__main__":
    main()
