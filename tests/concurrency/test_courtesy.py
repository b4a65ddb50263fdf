"""Advisory locks are a courtesy: without them, or with all of them in the way, every promise is kept."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from . import checks
from .explorer import READ_COMMITTED, explore
from .programs import SERIALIZATION_FAILURE, programs
from .test_interleavings import USER, RecordProperty, sample_of

# The courtesy locks of sessions that never meet, and of keys that all do.
LOCKS = {
    "missing": "select pg_catalog.hashtextextended(p_scope || p_key, pg_catalog.pg_backend_pid())",
    "colliding": "select 1::bigint",
}


@pytest.mark.parametrize("locks", LOCKS)
@pytest.mark.parametrize("name", programs())
def test_no_promise_rests_on_the_courtesy_lock(
    clean_stage: str, name: str, locks: str, large: bool, record_property: RecordProperty
) -> None:
    with psycopg.connect(clean_stage) as connection:
        connection.execute(f"""
            create or replace function idemdb._key_lock(p_scope text, p_key text) returns bigint
            language sql as $$ {LOCKS[locks]} $$
        """)
    program = programs()[name]
    # Who waits for a row, because no lock was in the way, has a transaction id; execute finds out at its end.
    program = replace(
        program,
        checks=tuple(check for check in program.checks if check is not checks.replays_write_nothing),
        allowed_errors=program.allowed_errors | {SERIALIZATION_FAILURE},
    )
    report = explore(program, clean_stage, role=USER, sample=sample_of(program, READ_COMMITTED, large=large))
    record_property("interleavings", report.interleavings)
    record_property("seconds", report.seconds)
    assert not report.violations, "\n".join(map(str, report.violations))
