"""The benchmark runs and reports everything. How fast it is says nothing here."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from click.testing import CliRunner

from idemdb.bench.cases import CASES
from idemdb.cli.main import main
from tests.support.database import Server


def databases(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as conn:
        found = conn.execute("select datname from pg_database where datname like 'idemdb_bench%'").fetchall()
    return {name for (name,) in found}


def test_bench_measures_counts_and_cleans_up(server: Server, tmp_path: Path) -> None:
    before = databases(server.dsn)
    files = tmp_path / "bench.json", tmp_path / "bench.svg"
    options = [
        "--seconds",
        "0.01",
        "--rounds",
        "2",
        "--json",
        "--output",
        str(files[0]),
        "--chart",
        str(files[1]),
    ]
    result = CliRunner().invoke(main, ["bench", "--dsn", server.dsn, *options], catch_exceptions=False)

    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed == json.loads(files[0].read_text())
    assert files[1].read_text().startswith("<?xml")

    measured = {(found["case"], found["tool"], found["clients"]) for found in printed["ratios"]}
    assert measured == {
        (case.title, tool, clients) for case in CASES for tool in case.bars for clients in case.clients
    }
    assert all(found["operation"][0] > 0 for found in printed["ratios"])
    assert [found["call"] for found in printed["python"]] == ["claim", "execute"]

    counted = {(found["case"], found["measure"]): found for found in printed["counts"]}
    assert counted["replay", "round_trips"]["operation"] == 1
    assert counted["replay", "wal_bytes"]["operation"] == 0
    assert counted["execute, first run", "round_trips"]["operation"] == 1
    assert counted["execute, first run", "wal_bytes"]["operation"] > 100
    assert counted["claim + complete, bound", "round_trips"]["floor"] == 3
    assert counted["claim + complete, bound", "round_trips"]["operation"] == 5
    assert counted["claim + complete, leased", "hot_share"]["operation"] == 1

    assert databases(server.dsn) <= before
