"""Run the demo: the same payments, events and faults, with idemdb and without it, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from idemdb.demo import bookings, database, ledger, mailbox
from idemdb.demo.display import Display
from idemdb.demo.faults import Fault, plan
from idemdb.demo.process import cause
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.scenario import SCHEMAS, WITH, WITHOUT, Scenario


@dataclass(frozen=True)
class Side:
    """What one of the two sides did: its numbers, and its table of charges."""

    numbers: ledger.Numbers
    events: bookings.EventNumbers
    mails: mailbox.MailNumbers
    charges: list[ledger.Charge]


@dataclass(frozen=True)
class Result:
    """What the demo found.

    :param protected: the side with idemdb.
    :param plain: the one without.
    :param faults: by the number of the request that met it, in both.
    :param dead_letters: of the side with idemdb.
    :param seconds: of clicks, deliveries and faults.
    """

    protected: Side
    plain: Side
    faults: Mapping[int, Fault]
    dead_letters: Sequence[bookings.DeadLetter]
    seconds: float

    @property
    def paid_once(self) -> bool:
        """Say whether idemdb let no payment be charged twice or lost."""
        return not self.protected.numbers.double_charges and not self.protected.numbers.lost

    @property
    def booked_once(self) -> bool:
        """Say whether idemdb let no event be booked twice or lost."""
        return not self.protected.events.double_bookings and not self.protected.events.events_lost

    @property
    def mailed_once(self) -> bool:
        """Say whether with idemdb each charge was mailed, and nothing else, under one Message-ID."""
        mails = self.protected.mails
        return not mails.mails_lost and not mails.mails_untrue and mails.mail_ids == mails.mails

    @property
    def kept(self) -> bool:
        """Say whether idemdb kept all that it promises."""
        return self.paid_once and self.booked_once and self.mailed_once


def run(
    requests: Sequence[PaymentRequest], *, dsn: str | None, workers: int, seed: int, display: Display
) -> Result:
    """Let payments, events and mails meet their faults with idemdb and without, and count what came of it.

    :param requests: of the file.
    :param dsn: of a server, where a database of the demo's own is made and dropped; by default an embedded
        server. Nothing is left running or lying about, whatever happens.
    :param workers: processes of each service.
    :param seed: decides which payments and events meet a fault, and in which order events are delivered.
    :param display: is told what goes on.
    :raises DemoError: when a worker ends by itself, or a request gets no answer.
    :raises ServerError, EmbeddedError: when there is no server to use.
    """
    planned = plan(requests, seed)
    scenario = Scenario(requests, planned, seed, display)
    with database.server(dsn) as server, database.database(server) as own:
        display.done(
            f"PostgreSQL {own.version}, " + ("in a database of the demo's own" if dsn else "started")
        )
        display.done(f"idemdb release {database.install(own)}, installed by its migrations")
        started = perf_counter()
        with display.live(len(requests), scenario.progress):
            try:
                asyncio.run(scenario.play(own, workers))
            except ExceptionGroup as errors:
                raise cause(errors) from errors
        seconds = perf_counter() - started
        dead = bookings.dead_letters(own.dsn)
        protected, plain = (_side(name, scenario, own.dsn, dead) for name in (WITH, WITHOUT))
        return Result(protected, plain, planned, dead, seconds)


def _side(name: str, scenario: Scenario, dsn: str, dead: Sequence[bookings.DeadLetter]) -> Side:
    """Count what one side did."""
    schema, progress = SCHEMAS[name], scenario.progress[name]
    charges = ledger.read(dsn, schema)
    given_up = {letter.id for letter in dead} if name == WITH else set()
    return Side(
        ledger.count(scenario.requests, charges, progress),
        bookings.count(scenario.events, bookings.read(dsn, schema), given_up, progress),
        mailbox.count(charges, scenario.servers[name].mails, progress),
        charges,
    )
