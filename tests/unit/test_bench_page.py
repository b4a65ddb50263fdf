"""docs/benchmarks.md shows the figures of benchmarks/figures.json."""

from __future__ import annotations

import runpy
from pathlib import Path

PUBLISH = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/publish.py"))


def test_page_is_current() -> None:
    report = PUBLISH["load"](PUBLISH["FIGURES"])
    assert PUBLISH["PAGE"].read_text() == PUBLISH["page"](report), "run: python benchmarks/publish.py"


def test_page_names_processor_version_and_settings() -> None:
    page = PUBLISH["PAGE"].read_text()
    for name in ("processor", "postgresql", "settings"):
        assert f"\n- {name}: " in page
