"""Every interleaving of idemdb's calls keeps its promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .explorer import READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, explore
from .history import Program
from .programs import programs

USER = "idemdb_user"
RecordProperty = Callable[[str, object], None]


def sample_of(program: Program, isolation: str, *, large: bool) -> int | None:
    """Say how many interleavings to draw, or None for all of them."""
    small = 80 if isolation == READ_COMMITTED else 25
    if sum(not session.owner for session in program.sessions) > 2:
        return 3000 if large else small
    if large or (len(program.sessions) == 2 and isolation == READ_COMMITTED):
        return None
    return small


@pytest.mark.parametrize("isolation", [READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE])
@pytest.mark.parametrize("name", programs())
def test_no_interleaving_breaks_a_promise(
    stage: str, name: str, isolation: str, large: bool, record_property: RecordProperty
) -> None:
    program = programs(snapshot=isolation != READ_COMMITTED)[name]
    report = explore(
        program, stage, isolation=isolation, role=USER, sample=sample_of(program, isolation, large=large)
    )
    record_property("interleavings", report.interleavings)
    record_property("seconds", report.seconds)
    print(report)
    assert not report.violations, "\n".join(map(str, report.violations))
