"""Hear of new messages by NOTIFY. Only a courtesy: without it, such as behind PgBouncer, the relay polls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg

_log = logging.getLogger("idemdb")
_LISTEN = "listen idemdb_outbox"
# How soon the thread sees that it is to stop, and how long it waits for a server that is away.
_GLANCE, _AGAIN = 0.5, 5.0


class Listener:
    """A thread with a connection of its own, which calls ``wake`` for each message of a notifying topic."""

    def __init__(self, dsn: str, wake: Callable[[], object]) -> None:
        """Prepare, without starting.

        :param wake: called in the thread.
        """
        self._dsn = dsn
        self._wake = wake
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idemdb-listener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """Listen, and connect again when the connection is lost."""
        while not self._stopped.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    connection.execute(_LISTEN)
                    # For what was added while nobody listened.
                    self._wake()
                    while not self._stopped.is_set():
                        for _ in connection.notifies(timeout=_GLANCE, stop_after=1):
                            self._wake()
            except psycopg.Error as error:
                _log.info("not listening (%s), polling goes on", type(error).__name__)
                self._stopped.wait(_AGAIN)
