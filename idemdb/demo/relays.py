"""Run relays, kill them when they have delivered a mail and not yet recorded it, and start them again."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import psycopg

from idemdb.demo import mailer
from idemdb.demo.mailserver import MailServer
from idemdb.demo.process import DemoError, Program, WorkerProcess
from idemdb.demo.progress import Progress
from idemdb.demo.receipts import TOPIC

_RELAYS: Final = 2
_DEATHS: Final = 3
_LOOK_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 60.0
_LEFT: Final = "select count(*) from idemdb.outbox_messages where topic = %s and not dead"


class Relays:
    """Two processes of idemdb's relay, which share the outbox."""

    def __init__(
        self, dsn: str, server: MailServer, mails: int, *, progress: Progress, tell: Callable[[str], None]
    ) -> None:
        """Describe them; :meth:`run` runs them.

        :param dsn: of the database.
        :param server: gets the mails.
        :param mails: how many are going to be sent: spreads the kills over them.
        :param progress: where kills are counted.
        :param tell: is given a line about each kill.
        """
        self._dsn = dsn
        self._server = server
        self._progress = progress
        self._tell = tell
        # Before the nth mail's sender is told that it was accepted.
        self._deaths = deque(sorted({1 + mails * number // _DEATHS for number in range(_DEATHS)}))

    async def run(self) -> None:
        """Deliver until cancelled.

        :raises DemoError: when a relay ends by itself.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(1, _RELAYS + 1):
                group.create_task(self._keep(f"relay {number}"))

    async def finished(self) -> None:
        """Wait until all mails are out.

        :raises DemoError: when none leaves the outbox any more.
        """
        left, deadline = -1, 0.0
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            while left:
                row = await (await connection.execute(_LEFT, [TOPIC])).fetchone()
                assert row is not None
                now = asyncio.get_running_loop().time()
                if row[0] != left:
                    left, deadline = row[0], now + _PATIENCE_SECONDS
                elif now > deadline:
                    raise DemoError(f"{left} mails do not leave the outbox")
                await asyncio.sleep(_LOOK_SECONDS)

    async def _keep(self, name: str) -> None:
        """Keep one place filled with a relay; it has a port of its own, which tells who sends."""
        holder: list[WorkerProcess] = []
        async with self._server.listening(partial(self._strike, holder, name)) as port:
            program = Program("idemdb.demo.mailer", mailer.Setup(self._dsn, port))
            while True:
                process = await WorkerProcess.start(program)
                holder[:] = [process]
                try:
                    code = await process.ended()
                finally:
                    await process.kill()
                if code != -signal.SIGKILL:
                    raise DemoError(f"a relay ended by itself, with code {code}")

    def _strike(self, holder: list[WorkerProcess], name: str) -> None:
        """Kill the relay whose mail was just accepted, if its time has come."""
        accepted = len(self._server.mails)
        # One that was started a moment ago may be faster than the note of it: then the next mail kills.
        if self._deaths and accepted >= self._deaths[0] and any(process.strike() for process in holder):
            self._deaths.popleft()
            self._progress.relay_crashes += 1
            self._tell(f"{name}, mail {accepted}: killed after the delivery, before its record")
