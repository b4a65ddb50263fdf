"""What the tests of races share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from tests.support.database import database

from .programs import SETUP


@pytest.fixture
def large() -> bool:
    """Tell whether the sizes are those of a proof (``IDEMDB_PROOF=large``) or of CI (``small``)."""
    return os.environ.get("IDEMDB_PROOF", "small") == "large"


@pytest.fixture(scope="module")
def stage(template: NoopExecutor) -> Iterator[str]:
    """Return the DSN of a database of the module's own with idemdb, the effects table and ``public.pay``."""
    with database(template) as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute(SETUP)
        yield dsn


@pytest.fixture
def clean_stage(stage: str) -> str:
    """Return the same with no key and no effect in it."""
    with psycopg.connect(stage) as connection:
        connection.execute("truncate public.effect, idemdb.keys")
    return stage


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many interleavings were run, how fast, and how many canaries were caught."""
    totals: dict[str, float] = {}
    for report in (report for kind in terminalreporter.stats.values() for report in kind):
        for name, value in getattr(report, "user_properties", []):
            totals[name] = totals.get(name, 0) + value if getattr(report, "when", "") == "call" else 0
    if totals.get("seconds"):
        minute = totals["interleavings"] / totals["seconds"] * 60
        terminalreporter.write_line(
            f"{totals['interleavings']:,.0f} interleavings, {minute:,.0f} a minute, "
            f"{totals.get('canaries', 0):.0f} canaries caught"
        )
