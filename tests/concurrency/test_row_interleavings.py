"""Every interleaving of the row verbs keeps its promises."""

from __future__ import annotations

import psycopg
import pytest

from .explorer import READ_COMMITTED, REPEATABLE_READ, explore
from .history import Program
from .row_programs import ROW_SETUP, row_programs
from .test_interleavings import USER, RecordProperty


@pytest.fixture(scope="module")
def rows(stage: str) -> str:
    """Return the DSN of the stage, with the tables of the programs."""
    with psycopg.connect(stage) as connection:
        connection.execute(ROW_SETUP)
    return stage


def sample_of(program: Program, isolation: str, *, large: bool) -> int | None:
    """Say how many interleavings to draw, or None for all of them."""
    if len(program.sessions) > 2:
        return 2000 if large else 20
    return None if large or isolation == READ_COMMITTED else 4


@pytest.mark.parametrize("isolation", [READ_COMMITTED, REPEATABLE_READ])
@pytest.mark.parametrize("name", row_programs())
def test_no_interleaving_breaks_a_promise(
    rows: str, name: str, isolation: str, large: bool, record_property: RecordProperty
) -> None:
    program = row_programs(snapshot=isolation != READ_COMMITTED)[name]
    report = explore(
        program, rows, isolation=isolation, role=USER, sample=sample_of(program, isolation, large=large)
    )
    record_property("interleavings", report.interleavings)
    record_property("seconds", report.seconds)
    print(report)
    assert not report.violations, "\n".join(map(str, report.violations))
