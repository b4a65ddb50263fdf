from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from idemdb.bench import chart
from idemdb.bench.cases import CASES, Case, Operation
from idemdb.bench.counts import round_trips
from idemdb.bench.report import Count, Overhead, Ratio, Report, show


def ratio(bar: float | None = 0.8, case: str = "replay") -> Ratio:
    return Ratio(case, "client", 8, floor=(100.0, 200.0, 400.0), operation=(90.0, 150.0, 400.0), bar=bar)


def report() -> Report:
    return Report(
        {"processor": "a processor", "postgresql": "18.6"},
        (ratio(), ratio(bar=0.95, case="slow"), ratio(bar=None, case="free")),
        (Count("replay", "wal_bytes", 0, 12.5, 0, over_floor=False),),
        (Overhead("claim", (10.0, 50.0, 30.0), 40),),
    )


def test_ratio_compares_the_halves_of_each_round() -> None:
    # Medians of both sides apart would give 150 / 200 = .75, too.
    assert ratio().rounds == [0.9, 0.75, 1.0]
    assert ratio().median == 0.9


@pytest.mark.parametrize(("bar", "reached"), [(0.9, True), (0.91, False), (None, None)])
def test_ratio_reaches_its_bar(bar: float | None, reached: bool | None) -> None:
    assert ratio(bar).reached is reached


@pytest.mark.parametrize(
    ("measure", "floor", "operation", "bar", "over_floor", "reached"),
    [
        ("wal_bytes", 440, 380, 380, False, True),
        ("wal_bytes", 440, 380.1, 380, False, False),
        ("wal_bytes", 208, 728, 520, True, True),
        ("wal_bytes", 208, 736, 520, True, False),
        ("hot_share", None, 1, 1, True, True),
        ("hot_share", None, 0.99, 1, True, False),
        ("round_trips", 1, None, 1, False, None),
        ("xids", 0, 0.002, 0, False, True),
        ("xids", 0, 1, 0, False, False),
    ],
)
def test_count_reaches_its_bar(
    measure: str,
    floor: float | None,
    operation: float | None,
    bar: float,
    over_floor: bool,
    reached: bool | None,
) -> None:
    assert Count("case", measure, floor, operation, bar, over_floor).reached is reached


def test_overhead_takes_the_middle_round() -> None:
    assert report().python[0].median == 30
    assert report().python[0].reached


def test_json_has_every_round_and_the_verdicts() -> None:
    document = json.loads(json.dumps(report().as_json()))
    first = document["ratios"][0]
    assert (first["median"], first["low"], first["high"], first["reached"]) == (0.9, 0.75, 1.0, True)
    assert first["floor"] == [100, 200, 400]
    assert document["counts"][0]["reached"] is False
    assert document["python"][0]["microseconds"] == [10, 50, 30]
    assert document["environment"]["postgresql"] == "18.6"


def test_json_is_read_again() -> None:
    assert Report.from_json(json.loads(json.dumps(report().as_json()))) == report()


def test_tables_show_figures_bars_and_verdicts() -> None:
    written = StringIO()
    show(report(), Console(width=200, file=written))
    lines = [" ".join(line.split()) for line in written.getvalue().splitlines()]
    assert "replay client 8 200 150 0.90 0.75-1.00 ≥ 0.80 reached" in lines
    assert "free client 8 200 150 0.90 0.75-1.00 - -" in lines
    assert "replay bytes of WAL 0 12.5 ≤ 0 missed" in lines
    assert "claim 30.0 10.0-50.0 ≤ 40 reached" in lines


@pytest.mark.parametrize("name", ["chart.svg", "chart.png"])
def test_chart_is_drawn(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    chart.draw(report(), tmp_path / name)
    written = (tmp_path / name).read_bytes()
    if name.endswith(".svg"):
        assert ET.fromstring(written).tag.endswith("svg")
    else:
        assert written.startswith(b"\x89PNG")


def test_round_trips_are_what_the_client_waits_for() -> None:
    trace = (
        'F\t10\tQuery\t "BEGIN"\nB\t10\tCommandComplete\t "BEGIN"\nB\t5\tReadyForQuery\t T\n'
        "F\t27\tBind\t\nF\t9\tDescribe\t\nF\t9\tExecute\t\nF\t4\tSync\nB\t5\tReadyForQuery\t T\n"
    )
    assert round_trips(trace) == 2


def test_operation_is_written_for_both_tools() -> None:
    operation = Operation(("select f(:scope, :key, 1::bigint, p_x => :request)",), range(5, 8))
    assert operation.for_psycopg() == ["select f(%(scope)s, %(key)s, 1::bigint, p_x => %(request)s)"]
    assert operation.for_pgbench().splitlines() == [
        "\\set number random(5, 7)",
        "select f(:scope, (:number::text || '-4a0e-8d1c-9b0b5f0a7c39'), 1::bigint, p_x => :request);",
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_cases_use_tools_as_they_can(case: Case) -> None:
    # pgbench sends one statement: a token from the one before is psycopg's business.
    assert "server" not in case.bars or len(case.operation.statements) == 1
    assert case.floor.transaction == case.operation.transaction
