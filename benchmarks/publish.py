"""Put the figures of a run into docs/benchmarks.md: python benchmarks/publish.py [FILE.json].

Without a file the figures of before (benchmarks/figures.json) are written again.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from idemdb.bench import chart
from idemdb.bench.report import MARKS, MEASURES, Report, limit, number

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "benchmarks/figures.json"
PAGE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def figures(report: Report) -> str:
    """Return the figures as Markdown."""
    lines = [f"- {name}: {value}" for name, value in report.environment.items()]
    lines += ["", "| case | tool | clients | floor/s | idemdb/s | ratio | spread | to reach | |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|---|"]
    for ratio in report.ratios:
        cells: list[Any] = [ratio.case, ratio.tool, ratio.clients]
        cells += [f"{statistics.median(side):,.0f}" for side in (ratio.floor, ratio.operation)]
        cells += [f"**{ratio.median:.2f}**", f"{min(ratio.rounds):.2f} to {max(ratio.rounds):.2f}"]
        cells += ["" if ratio.bar is None else f"{ratio.bar:.2f}", MARKS[ratio.reached]]
        lines.append(_row(cells))
    lines += ["", "| case | counted for one operation | floor | idemdb | to reach | |"]
    lines += ["|---|---|--:|--:|--:|---|"]
    for count in report.counts:
        cells = [count.case, MEASURES[count.measure], number(count.floor), f"**{number(count.operation)}**"]
        lines.append(_row([*cells, limit(count), MARKS[count.reached]]))
    lines += ["", "| call of `Idem` | µs of client CPU over psycopg alone | spread | to reach | |"]
    lines += ["|---|--:|--:|--:|---|"]
    for call in report.python:
        spread = f"{min(call.microseconds):.1f} to {max(call.microseconds):.1f}"
        lines.append(
            _row([call.call, f"**{call.median:.1f}**", spread, f"≤ {call.bar:g}", MARKS[call.reached]])
        )
    return "\n".join(lines) + "\n"


def page(report: Report) -> str:
    """Return the page with the figures of the report in the place of those of before."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + figures(report) + END + rest.partition(END)[2]


def _row(cells: list[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def load(file: Path) -> Report:
    """Read what ``idemdb bench --output`` wrote."""
    return Report.from_json(json.loads(file.read_text(encoding="utf-8")))


if __name__ == "__main__":
    text = (Path(sys.argv[1]) if sys.argv[1:] else FIGURES).read_text(encoding="utf-8")
    FIGURES.write_text(text, encoding="utf-8")
    found = load(FIGURES)
    PAGE.write_text(page(found), encoding="utf-8")
    chart.draw(found, PAGE.with_suffix(".svg"))
