"""Wrong protocols that the explorer must catch, and a right one that it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from . import checks
from .explorer import explore, replay
from .history import Check, Program
from .programs import SETUP, programs

SQL = Path(__file__).parent / "canaries"
RecordProperty = Callable[[str, object], None]

# The protocol, the program that shows its mistake, and the check that sees it.
CANARIES: tuple[tuple[str, str, Check], ...] = (
    ("select_first", "bound, never completed", checks.an_effect_happens_once),
    ("one_statement", "bound", checks.outcomes_are_never_empty),
    ("no_fence", "late holder, leased", checks.a_late_holder_loses),
    ("no_fence_in_release", "leased, released late", checks.a_holder_keeps_its_claim),
    ("no_fence_in_renew", "leased, renewed", checks.a_late_holder_loses),
    ("no_fingerprint", "bound, other fingerprint", checks.another_fingerprint_never_succeeds),
    ("takeover_of_fingerprint", "leased, other fingerprint", checks.another_fingerprint_never_succeeds),
    ("no_scope", "two scopes", checks.answers_agree),
    ("now_leases", "leased, long transaction", checks.leases_last_as_long_as_asked),
    ("sweep_running", "sweep of running keys", checks.a_holder_keeps_its_claim),
    ("unguarded_takeover", "takeover, never completed", checks.an_effect_happens_once),
    ("counted_tokens", "late holder, released", checks.claim_tokens_grow),
    ("touching_replay", "bound", checks.replays_write_nothing),
)


@pytest.fixture
def canary(empty_dsn: str) -> str:
    """Return the DSN of a database with the effects table and the right protocol in schema ``canary``."""
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(SETUP)
        connection.execute((SQL / "control.sql").read_bytes())
    return empty_dsn


def watched_by(program: Program, *only: Check) -> Program:
    return replace(program, checks=only)


@pytest.mark.parametrize("name", programs("canary"))
def test_a_right_protocol_passes(canary: str, name: str) -> None:
    program = programs("canary")[name]
    report = explore(program, canary, sample=30 if len(program.sessions) > 2 else None)
    assert report.interleavings > 1
    assert not report.violations, "\n".join(map(str, report.violations))


@pytest.mark.parametrize(("mistake", "name", "check"), CANARIES, ids=[mistake for mistake, *_ in CANARIES])
def test_a_wrong_protocol_is_caught(
    canary: str, mistake: str, name: str, check: Check, record_property: RecordProperty
) -> None:
    with psycopg.connect(canary) as connection:
        connection.execute((SQL / f"{mistake}.sql").read_bytes())
    program = watched_by(programs("canary")[name], check)
    report = explore(program, canary, stop_at=1)
    print(report, *report.violations, sep="\n")
    assert report.violations
    found = report.violations[0].run
    again, violations = replay(program, canary, found.schedule)
    assert violations
    assert [str(event) for event in again.events] == [str(event) for event in found.events]
    record_property("canaries", 1)


def test_every_canary_is_run() -> None:
    files = {path.stem for path in SQL.glob("*.sql")} - {"control"}
    assert files == {mistake for mistake, *_ in CANARIES}
