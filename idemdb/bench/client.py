"""The client's side: psycopg, one connection for each worker, each worker a process of its own."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import psycopg

from idemdb.bench.cases import CASES, KEY_TAIL, PARAMETERS, Operation

_WARM_UP = 10


def performer(connection: psycopg.Connection[Any], operation: Operation) -> Callable[[], None]:
    """Return a function that does the operation once, with a key taken at random.

    :param connection: in autocommit mode.
    :param operation: what to do.
    """
    statements = operation.for_psycopg()
    cursor = connection.cursor()
    parameters: dict[str, Any] = dict(PARAMETERS)

    def send() -> None:
        parameters["key"] = f"{random.choice(operation.keys)}{KEY_TAIL}"  # noqa: S311
        for statement in statements:
            row = cursor.execute(statement, parameters, prepare=True).fetchone()
            assert row is not None, "every statement answers with a row"
            parameters["token"] = row[0]

    def perform() -> None:
        with connection.transaction():
            send()

    return perform if operation.transaction else send


def _work(dsn: str, orders: Pipe) -> None:
    """Do what is ordered, in a process of its own, until the other end of the pipe is closed."""
    with psycopg.connect(dsn, autocommit=True) as connection, suppress(EOFError):
        while True:
            number, side, seconds = orders.recv()
            perform = performer(connection, getattr(CASES[number], side))
            for _ in range(_WARM_UP):
                perform()
            orders.send(None)
            orders.recv()
            orders.send(_rate(perform, seconds))


def _rate(perform: Callable[[], None], seconds: float) -> float:
    """Return how often a second the operation is done."""
    count, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < seconds or count == 0:
        perform()
        count += 1
    return count / elapsed


class Workers:
    """Processes that do operations at the same time; use it in a ``with`` block."""

    def __init__(self, dsn: str, count: int) -> None:
        """Start the processes.

        :param dsn: of the benchmark's database.
        :param count: how many, each with a connection.
        """
        # A fresh interpreter each: nothing of this process's connections and threads is inherited.
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Pipe] = []
        self._processes = []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(dsn, there), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.join()

    def rate(self, number: int, side: str, clients: int, seconds: float) -> float:
        """Return how many operations a second the clients do together.

        :param number: of the case in CASES.
        :param side: ``operation`` or ``floor``.
        :param clients: how many work at the same time.
        :param seconds: for how long.
        """
        pipes = self._pipes[:clients]
        self._tell(pipes, (number, side, seconds))
        for pipe in pipes:
            pipe.recv()
        self._tell(pipes, None)
        return float(sum(pipe.recv() for pipe in pipes))

    @staticmethod
    def _tell(pipes: Sequence[Pipe], what: Any) -> None:
        for pipe in pipes:
            pipe.send(what)
