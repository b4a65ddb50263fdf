"""Run the benchmark: floor and operation in turns, round after round."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg

from idemdb.bench import counts, overhead, server
from idemdb.bench.cases import CASES, PYTHON_BAR, Case
from idemdb.bench.client import Workers
from idemdb.bench.report import Count, Overhead, Ratio, Report

_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
)
_CALLED = 500

# Told the title of what is measured next.
Progress = Callable[[str], object]


def run(dsn: str, *, seconds: float, rounds: int, progress: Progress) -> Report:
    """Measure everything.

    :param dsn: of the benchmark's database.
    :param seconds: of one measurement; pgbench takes whole ones, at least one.
    :param rounds: how often floor and operation are measured in turns.
    :param progress: told what comes next.
    """
    pgbench = server.find_pgbench()
    counted = tuple(_count(dsn, progress))
    ratios = tuple(_client(dsn, seconds, rounds, progress))
    if pgbench is not None:
        ratios += tuple(_server(pgbench, dsn, seconds, rounds, progress))
    progress("Idem over psycopg")
    python = overhead.measure(dsn, rounds, _CALLED)
    return Report(
        environment(dsn) | {"seconds": seconds, "rounds": rounds},
        ratios,
        counted,
        tuple(Overhead(call, tuple(found), PYTHON_BAR) for call, found in python.items()),
    )


def measurements() -> int:
    """Return how many things are measured: what ``progress`` is told at most."""
    return len(CASES) + sum(len(case.bars) * len(case.clients) for case in CASES) + 1


def _count(dsn: str, progress: Progress) -> Iterable[Count]:
    for case in CASES:
        progress(f"{case.title}: counts")
        floor, operation = (counts.count(dsn, side, case.counted) for side in (case.floor, case.operation))
        for measure, limit in case.limits.items():
            yield Count(case.title, measure, floor[measure], operation[measure], limit, case.over_floor)


def _client(dsn: str, seconds: float, rounds: int, progress: Progress) -> Iterable[Ratio]:
    with Workers(dsn, max(max(case.clients) for case in CASES)) as workers:
        for number, case in enumerate(CASES):
            for clients in case.clients if "client" in case.bars else ():
                progress(f"{case.title}: client, {clients}")
                sides = [
                    [workers.rate(number, side, clients, seconds) for side in ("floor", "operation")]
                    for _ in range(rounds)
                ]
                yield _ratio(case, "client", clients, sides)


def _server(pgbench: Path, dsn: str, seconds: float, rounds: int, progress: Progress) -> Iterable[Ratio]:
    for case in CASES:
        for clients in case.clients if "server" in case.bars else ():
            progress(f"{case.title}: server, {clients}")
            sides = [
                [server.rate(pgbench, dsn, side, clients, seconds) for side in (case.floor, case.operation)]
                for _ in range(rounds)
            ]
            yield _ratio(case, "server", clients, sides)


def _ratio(case: Case, tool: Any, clients: int, sides: list[list[float]]) -> Ratio:
    floor, operation = zip(*sides, strict=True)
    return Ratio(case.title, tool, clients, floor, operation, case.bars[tool])


def environment(dsn: str) -> dict[str, Any]:
    """Return on what the figures were taken."""
    with psycopg.connect(dsn) as connection:
        version = connection.execute("show server_version").fetchone()
        rows = connection.execute(
            "select name, current_setting(name) from pg_settings where name = any(%s)", (list(_SETTINGS),)
        ).fetchall()
    assert version is not None, "SHOW answers with a row"
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
        "postgresql": version[0],
        "settings": ", ".join(f"{name}={value}" for name, value in sorted(rows)),
    }


def _processor() -> str:
    """Return the processor's name: Linux tells it in a file only."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
