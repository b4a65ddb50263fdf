"""Checks of events and of the outbox."""

from __future__ import annotations

from collections.abc import Iterator

from idemdb.doctor.check import Check, Patient
from idemdb.finding import Finding


def _dead_letters(patient: Patient) -> Iterator[Finding]:
    if not _installed(patient):
        return
    rows = patient.rows(
        """
        select kind, name, count(*) as letters from idemdb.dead_letters
        group by kind, name order by kind, name
        """
    )
    for row in rows:
        event = row["kind"] == "consumer"
        yield Finding(
            "dead-letters",
            "warning",
            f"{row['letters']} dead {'events' if event else 'messages'} of {row['kind']} {row['name']}",
            "They were given up after their last attempt: their work is not done until a person decides.",
            f"idemdb {'events' if event else 'outbox'} --dead\n"
            f"idemdb dead-letter {row['kind']} {row['name']} ID replay|drop",
        )


def _outbox(patient: Patient) -> Iterator[Finding]:
    if not _installed(patient):
        return
    rows = patient.rows(
        """
        select topic, count(*) as messages,
            date_trunc('second', clock_timestamp() - min(greatest(available_at, lease_until))) as age
        from idemdb.outbox_messages
        where not dead and greatest(available_at, lease_until) < clock_timestamp() - %(limit)s
        group by topic order by topic
        """,
        limit=patient.limits.waiting,
    )
    for row in rows:
        yield Finding(
            "outbox",
            "warning",
            f"{row['messages']} messages of topic {row['topic']} can be taken, since up to {row['age']}",
            "No relay serves the topic, or it is too slow; or a group waits for a message that fails.",
            f"idemdb relay --handler {row['topic']}=TARGET  (as a service)\nidemdb outbox",
        )


def _installed(patient: Patient) -> bool:
    """Say whether the release that is there has events at all."""
    return bool(patient.rows("select where to_regclass('idemdb.dead_letters') is not null"))


CHECKS = (
    Check("dead-letters", "nothing was given up", _dead_letters, needs_schema=True),
    Check("outbox", "messages are relayed", _outbox, needs_schema=True),
)
