"""What the tests of races share."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest

from .programs import SETUP


@pytest.fixture
def large() -> bool:
    """Tell whether the sizes are those of a proof (``IDEMDB_PROOF=large``) or of CI (``small``)."""
    return os.environ.get("IDEMDB_PROOF", "small") == "large"


@pytest.fixture
def stage(dsn: str) -> str:
    """Return the DSN of a fresh database with idemdb, the effects table and ``public.pay``."""
    with psycopg.connect(dsn) as connection:
        connection.execute(SETUP)
    return dsn


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
