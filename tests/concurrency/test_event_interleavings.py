"""Every interleaving of the calls of events, streams, steps and messages keeps their promises."""

from __future__ import annotations

import pytest

from .event_programs import event_programs
from .explorer import READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, explore
from .test_interleavings import USER, RecordProperty, sample_of


@pytest.mark.parametrize("isolation", [READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE])
@pytest.mark.parametrize("name", event_programs())
def test_no_interleaving_breaks_a_promise(
    stage: str, name: str, isolation: str, large: bool, record_property: RecordProperty
) -> None:
    program = event_programs(snapshot=isolation != READ_COMMITTED)[name]
    sample = sample_of(program, isolation, large=large)
    report = explore(program, stage, isolation=isolation, role=USER, sample=sample)
    record_property("interleavings", report.interleavings)
    record_property("seconds", report.seconds)
    print(report)
    assert not report.violations, "\n".join(map(str, report.violations))
