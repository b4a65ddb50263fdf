"""Count what became of the provider's events, from the table of bookings and idemdb's dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from idemdb.demo.consumer import NAME
from idemdb.demo.events import ProviderEvent
from idemdb.demo.progress import Progress

_BOOKED: Final = "select event from {}.bookings"
_DEAD: Final = """\
select id, attempts, last_error from idemdb.dead_letters where kind = 'consumer' and name = %s order by id"""


@dataclass(frozen=True)
class DeadLetter:
    """An event that the consumer gave up.

    :param id: of the event.
    :param attempts: that failed.
    :param last_error: of the last one.
    """

    id: str
    attempts: int
    last_error: str


@dataclass(frozen=True)
class EventNumbers:
    """What one side made of the events: ``events = events_processed + events_dead + events_lost``.

    :param events: of the provider.
    :param deliveries: made of them; one that was made again, for want of an acknowledgement, is still one.
    :param events_processed: that were booked.
    :param bookings: rows in the table.
    :param double_bookings: events that were booked more than once.
    :param events_dead: that were given up and wait as a dead letter for a person.
    :param events_lost: neither booked nor a dead letter.
    :param consumer_crashes: workers killed with SIGKILL.
    """

    events: int
    deliveries: int
    events_processed: int
    bookings: int
    double_bookings: int
    events_dead: int
    events_lost: int
    consumer_crashes: int


def read(dsn: str, schema: str) -> list[str]:
    """Return the event of each booking.

    :param dsn: of the demo's database.
    :param schema: of the table.
    """
    with psycopg.connect(dsn) as connection:
        return [event for (event,) in connection.execute(sql.SQL(_BOOKED).format(sql.Identifier(schema)))]


def dead_letters(dsn: str) -> list[DeadLetter]:
    """Return what idemdb's consumer gave up.

    :param dsn: of the demo's database.
    """
    with psycopg.connect(dsn) as connection, connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(_DEAD, [NAME]).fetchall()


def count(
    events: Sequence[ProviderEvent], booked: Sequence[str], dead: Collection[str], progress: Progress
) -> EventNumbers:
    """Count what a side did.

    :param events: of the provider.
    :param booked: the event of each booking.
    :param dead: the events of its dead letters.
    :param progress: of the side.
    """
    times = Counter(booked)
    unbooked = [event.id for event in events if not times[event.id]]
    return EventNumbers(
        events=len(events),
        deliveries=progress.deliveries,
        events_processed=len(events) - len(unbooked),
        bookings=len(booked),
        double_bookings=sum(number > 1 for number in times.values()),
        events_dead=sum(event in dead for event in unbooked),
        events_lost=sum(event not in dead for event in unbooked),
        consumer_crashes=progress.consumer_crashes,
    )
