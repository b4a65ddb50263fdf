"""Renew a lease over a connection of its own, while the handler works: a thread, or a task."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from idemdb.drivers import adapt, adapt_async
from idemdb.errors import ClaimLost
from idemdb.flows import alone
from idemdb.opening import opened, opened_async
from idemdb.statement import Call

_log = logging.getLogger("idemdb")
_AGAIN = "a lease could not be renewed (%s), trying again"
# Renewals of a lease: two more chances when one fails.
PER_LEASE = 3
# For how long a finished run waits for a renewal on its way; longer, and the thread ends by itself.
_STOP_SECONDS = 2.0


class Renewal:
    """A thread that renews a lease until it is stopped, or finds the claim lost."""

    def __init__(self, connect: Any, call: Call[Any], seconds: float) -> None:
        """Prepare, without starting.

        :param connect: a function that opens a connection, an SQLAlchemy engine, or a pool of psycopg.
        :param call: the renewal.
        :param seconds: the lease.
        """
        self.lost = False
        self._connect = connect
        self._call = call
        self._every = seconds / PER_LEASE
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idemdb-renewal", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for a renewal that is on its way."""
        self._stopped.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        """Renew again and again."""
        while not self._stopped.wait(self._every):
            try:
                with opened(self._connect) as connection:
                    adapt(connection).drive(alone(self._call))
            except ClaimLost:
                self.lost = True
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the next turn may do better
                _log.warning(_AGAIN, type(error).__name__)


class AsyncRenewal:
    """A task that renews a lease until it is stopped, or finds the claim lost."""

    def __init__(self, connect: Any, call: Call[Any], seconds: float) -> None:
        """Prepare as Renewal does; also with asyncpg's pool, and functions that return awaitables."""
        self.lost = False
        self._connect = connect
        self._call = call
        self._every = seconds / PER_LEASE
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._run(), name="idemdb-renewal")

    async def stop(self) -> None:
        """Stop, and wait for the end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        """Renew again and again."""
        while True:
            await asyncio.sleep(self._every)
            try:
                async with opened_async(self._connect) as connection:
                    await adapt_async(connection).drive(alone(self._call))
            except ClaimLost:
                self.lost = True
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the next turn may do better
                _log.warning(_AGAIN, type(error).__name__)
