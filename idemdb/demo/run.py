"""Run the demo: the same requests and the same faults, with idemdb and without it, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Final

import psycopg
from psycopg import sql

from idemdb.demo import database, ledger
from idemdb.demo.display import Display
from idemdb.demo.faults import Fault, plan
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.service import Progress, Service

WITH: Final = "with idemdb"
WITHOUT: Final = "without"

_SCHEMAS: Final = {WITH: database.PROTECTED, WITHOUT: database.PLAIN}
_WATCH_SECONDS: Final = 0.2
_STANDING: Final = """\
select coalesce(sum(n), 0)::integer, (count(*) filter (where n > 1))::integer
from (select count(*) as n from {}.charges group by scope, key) as payments"""


@dataclass(frozen=True)
class Side:
    """What one of the two services did: its numbers, and its table of charges."""

    numbers: ledger.Numbers
    charges: list[ledger.Charge]


@dataclass(frozen=True)
class Result:
    """What the demo found.

    :param protected: the service with idemdb.
    :param plain: the one without.
    :param faults: by the number of the request that met it, in both.
    :param seconds: of clicks and faults.
    """

    protected: Side
    plain: Side
    faults: Mapping[int, Fault]
    seconds: float

    @property
    def kept(self) -> bool:
        """Say whether idemdb let no payment be charged twice or lost."""
        return not self.protected.numbers.double_charges and not self.protected.numbers.lost


def run(
    requests: Sequence[PaymentRequest], *, dsn: str | None, workers: int, seed: int, display: Display
) -> Result:
    """Handle the requests with idemdb and without, while faults happen, and count the charges.

    :param requests: of the file.
    :param dsn: of a server, where a database of the demo's own is made and dropped; by default an embedded
        server. Nothing is left running or lying about, whatever happens.
    :param workers: processes of each service.
    :param seed: decides which payments meet a fault.
    :param display: is told what goes on.
    :raises DemoError: when a worker ends by itself, or a request gets no answer.
    :raises ServerError, EmbeddedError: when there is no server to use.
    """
    with database.server(dsn) as server, database.database(server) as own:
        display.done(
            f"PostgreSQL {own.version}, " + ("in a database of the demo's own" if dsn else "started")
        )
        display.done(f"idemdb release {database.install(own)}, installed by its migrations")
        planned = plan(requests, seed)
        services = {
            name: Service(
                own,
                schema,
                protected=name == WITH,
                requests=requests,
                faults=planned,
                tell=partial(display.fault, name),
            )
            for name, schema in _SCHEMAS.items()
        }
        progress = {name: service.progress for name, service in services.items()}
        started = perf_counter()
        with display.live(len(requests), progress):
            try:
                asyncio.run(_serve(services, progress, own.dsn, workers))
            except ExceptionGroup as errors:
                raise _first(errors) from errors
        seconds = perf_counter() - started
        protected, plain = (
            Side(ledger.count(requests, charges, progress[name]), charges)
            for name, schema in _SCHEMAS.items()
            for charges in [ledger.read(own.dsn, schema)]
        )
        return Result(protected, plain, planned, seconds)


async def _serve(
    services: Mapping[str, Service], progress: Mapping[str, Progress], dsn: str, workers: int
) -> None:
    """Run both services at once, so that they share the machine evenly, and watch their tables."""
    ready = asyncio.Barrier(workers * len(services))
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(dsn, progress))
        async with asyncio.TaskGroup() as both:
            for service in services.values():
                both.create_task(service.run(workers, ready))
        watch.cancel()


async def _watch(dsn: str, progress: Mapping[str, Progress]) -> None:
    """Bring the state of the tables to the display, again and again."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            for name, side in progress.items():
                ask = sql.SQL(_STANDING).format(sql.Identifier(_SCHEMAS[name]))
                row = await (await connection.execute(ask)).fetchone()
                assert row is not None
                side.charges, side.double_charges = row
            await asyncio.sleep(_WATCH_SECONDS)


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """Return the error that ended the tasks of a group."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
