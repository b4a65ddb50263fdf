"""Wrong inboxes, outboxes and steps that the explorer must catch, and right ones that it must not."""

from __future__ import annotations

import psycopg
import pytest

from . import checks
from . import event_checks as mine
from .event_programs import event_programs
from .explorer import explore
from .history import Check
from .programs import SETUP
from .step_programs import step_programs
from .test_canaries import SQL, RecordProperty, watched_by

EVENTS = SQL / "events"

# The protocol, the program that shows its mistake, and the check that sees it.
CANARIES: tuple[tuple[str, str, Check], ...] = (
    ("select_first", "inbox", mine.it_is_handled_at_most_once),
    ("one_statement", "inbox", mine.every_call_answers),
    ("unsorted_batch", "batches crossed behind a third: commit", checks.no_call_fails),
    ("above_last_id", "outbox, producers", mine.what_was_added_is_delivered),
    ("no_fence_in_done", "outbox, lease over", mine.a_late_taker_loses),
    ("no_lease", "outbox", mine.it_is_delivered_once_while_leases_last),
)


@pytest.fixture
def canary(empty_dsn: str) -> str:
    """Return the DSN of a database with the effects table and the right protocol in schema ``canary``."""
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(SETUP)
        connection.execute((EVENTS / "control.sql").read_bytes())
    return empty_dsn


@pytest.mark.parametrize("name", event_programs("canary"))
def test_a_right_protocol_passes(canary: str, name: str) -> None:
    program = event_programs("canary")[name]
    report = explore(program, canary, sample=30 if len(program.sessions) > 2 else None)
    assert report.interleavings > 1
    assert not report.violations, "\n".join(map(str, report.violations))


@pytest.mark.parametrize(("mistake", "name", "check"), CANARIES, ids=[mistake for mistake, *_ in CANARIES])
def test_a_wrong_protocol_is_caught(
    canary: str, mistake: str, name: str, check: Check, record_property: RecordProperty
) -> None:
    with psycopg.connect(canary) as connection:
        connection.execute((EVENTS / f"{mistake}.sql").read_bytes())
    report = explore(watched_by(event_programs("canary")[name], check), canary, stop_at=1)
    print(report, *report.violations, sep="\n")
    assert report.violations
    record_property("canaries", 1)


def test_without_hold_a_service_is_called_twice(stage: str, record_property: RecordProperty) -> None:
    """What `hold` promises does not hold without it: that check can fail."""
    (program, *_) = step_programs(hold=False)
    report = explore(watched_by(program, mine.it_is_handled_at_most_once), stage, stop_at=1)
    assert report.violations
    record_property("canaries", 1)


def test_a_recovery_point_before_the_call_loses_it(stage: str, record_property: RecordProperty) -> None:
    """Who remembers an answer before there is one never makes the call: that check can fail."""
    *_, program = step_programs(hold=False, remembered_first=True)
    report = explore(program, stage, stop_at=1)
    assert report.violations
    record_property("canaries", 1)


def test_every_canary_is_run() -> None:
    files = {path.stem for path in EVENTS.glob("*.sql")} - {"control"}
    assert files == {mistake for mistake, *_ in CANARIES}
