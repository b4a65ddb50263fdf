"""What happens in the demo: payments, the provider's events about them, and the mails with their receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import psycopg
from psycopg import sql

from idemdb.demo import consumer, database, events, ledger
from idemdb.demo.database import Database
from idemdb.demo.display import Display
from idemdb.demo.events import ProviderEvent
from idemdb.demo.faults import Fault
from idemdb.demo.mailserver import MailServer
from idemdb.demo.progress import Progress
from idemdb.demo.provider import Provider
from idemdb.demo.relays import Relays
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.service import Service

WITH: Final = "with idemdb"
WITHOUT: Final = "without"
SCHEMAS: Final = {WITH: database.PROTECTED, WITHOUT: database.PLAIN}

_WATCH_SECONDS: Final = 0.2
_STANDING: Final = """\
select (sum(n) filter (where kind = 'charges'))::integer, count(*) filter (where kind = 'charges' and n > 1),
    (sum(n) filter (where kind = 'bookings'))::integer, count(*) filter (where kind = 'bookings' and n > 1)
from (
    select 'charges' as kind, count(*) as n from {schema}.charges group by scope, key
    union all
    select 'bookings' as kind, count(*) as n from {schema}.bookings group by event
) as things"""


class Scenario:
    """Both sides, which run at once, so that they share the machine evenly."""

    def __init__(
        self, requests: Sequence[PaymentRequest], faults: Mapping[int, Fault], seed: int, display: Display
    ) -> None:
        """Describe it; :meth:`play` plays it.

        :param requests: of the file.
        :param faults: by the number of the request that meets it.
        :param seed: decides about the events.
        :param display: is told of faults.
        :raises ServerError: when there can be no mail server.
        """
        self.requests = requests
        self.events: list[ProviderEvent] = []
        self.progress = {name: Progress() for name in SCHEMAS}
        self.servers = {name: MailServer(partial(_count_mail, side)) for name, side in self.progress.items()}
        self._faults = faults
        self._seed = seed
        self._display = display

    async def play(self, own: Database, workers: int) -> None:
        """Let everything happen.

        :param own: the demo's database.
        :param workers: processes of each service.
        """
        relays = Relays(
            own.dsn,
            self.servers[WITH],
            len({request.payment for request in self.requests}),
            progress=self.progress[WITH],
            tell=partial(self._display.fault, WITH),
        )
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(self._watch(own.dsn)), group.create_task(relays.run())]
            await self._pay(own, workers)
            await self._deliver(own, workers)
            await relays.finished()
            for task in background:
                task.cancel()

    async def _pay(self, own: Database, workers: int) -> None:
        """Send the requests to both payment services."""
        ready = asyncio.Barrier(workers * len(SCHEMAS))
        async with self.servers[WITHOUT].listening() as port, asyncio.TaskGroup() as group:
            for name, schema in SCHEMAS.items():
                service = Service(
                    own,
                    schema,
                    protected=name == WITH,
                    requests=self.requests,
                    faults=self._faults,
                    mail_port=port,
                    progress=self.progress[name],
                    tell=partial(self._display.fault, name),
                )
                group.create_task(service.run(workers, ready))

    async def _deliver(self, own: Database, workers: int) -> None:
        """Deliver the provider's events, which tell of the charges that idemdb made, to both consumers."""
        self.events = events.events_of(ledger.read(own.dsn, SCHEMAS[WITH]), self._seed)
        deliveries = events.deliveries_of(self.events, self._seed)
        holds = events.plan(deliveries, self._seed)
        ready = asyncio.Barrier(workers * len(SCHEMAS))
        async with asyncio.TaskGroup() as group:
            for name, schema in SCHEMAS.items():
                provider = Provider(
                    consumer.Setup(own.dsn, schema, name == WITH),
                    deliveries,
                    holds,
                    progress=self.progress[name],
                    tell=partial(self._display.fault, name),
                )
                group.create_task(provider.run(workers, ready))

    async def _watch(self, dsn: str) -> None:
        """Bring the state of the tables to the display, again and again."""
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            while True:
                for name, side in self.progress.items():
                    ask = sql.SQL(_STANDING).format(schema=sql.Identifier(SCHEMAS[name]))
                    row = await (await connection.execute(ask)).fetchone()
                    assert row is not None
                    side.charges, side.double_charges, side.bookings, side.double_bookings = (
                        n or 0 for n in row
                    )
                await asyncio.sleep(_WATCH_SECONDS)


def _count_mail(side: Progress) -> None:
    """Count a mail."""
    side.mails += 1
