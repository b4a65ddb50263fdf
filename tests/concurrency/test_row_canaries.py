"""Wrong row verbs that the explorer must catch, and right ones that it must not."""

from __future__ import annotations

import psycopg
import pytest

from . import checks
from . import row_checks as mine
from .explorer import explore
from .history import Check
from .programs import SETUP
from .row_programs import ROW_SETUP, row_programs
from .test_canaries import SQL, RecordProperty, watched_by

ROWS = SQL / "rows"

# The protocol, the program that shows its mistake, and the check that sees it.
CANARIES: tuple[tuple[str, str, Check], ...] = (
    ("select_first", "row_plain: create, create, absent", mine.a_row_is_created_once),
    ("select_first", "row_plain: create, put, absent", mine.some_order_explains_it),
    ("plain_insert", "row_plain: create, create, absent", checks.no_call_fails),
    ("one_statement", "row_plain: create, create, absent", mine.every_call_answers),
    ("unguarded_version", "row_plain: versions", mine.some_order_explains_it),
    ("unchecked_delete", "row_plain: delete, delete, stored", mine.a_row_is_deleted_once),
    ("unsorted_batch", "row_plain: batches crossed behind a third, commit", checks.no_call_fails),
    ("touching_repeat", "row_plain: create, create, stored", mine.a_repeat_writes_nothing),
)


@pytest.fixture(scope="module")
def control(stage: str) -> str:
    """Return the DSN of a database with the right protocol in schema ``canary``."""
    with psycopg.connect(stage) as connection:
        connection.execute(ROW_SETUP)
        connection.execute((ROWS / "control.sql").read_bytes())
    return stage


@pytest.fixture
def canary(empty_dsn: str) -> str:
    """Return the DSN of a database with the right protocol, to be spoilt."""
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(SETUP)
        connection.execute(ROW_SETUP)
        connection.execute((ROWS / "control.sql").read_bytes())
    return empty_dsn


@pytest.mark.parametrize("name", row_programs("canary"))
def test_a_right_protocol_passes(control: str, name: str) -> None:
    program = row_programs("canary")[name]
    report = explore(program, control, sample=12 if len(program.sessions) > 2 else None)
    assert report.interleavings > 1
    assert not report.violations, "\n".join(map(str, report.violations))


@pytest.mark.parametrize(("mistake", "name", "check"), CANARIES)
def test_a_wrong_protocol_is_caught(
    canary: str, mistake: str, name: str, check: Check, record_property: RecordProperty
) -> None:
    with psycopg.connect(canary) as connection:
        connection.execute((ROWS / f"{mistake}.sql").read_bytes())
    report = explore(watched_by(row_programs("canary")[name], check), canary, stop_at=1)
    print(report, *report.violations, sep="\n")
    assert report.violations
    record_property("canaries", 1)


def test_every_canary_is_run() -> None:
    files = {path.stem for path in ROWS.glob("*.sql")} - {"control"}
    assert files == {mistake for mistake, *_ in CANARIES}
