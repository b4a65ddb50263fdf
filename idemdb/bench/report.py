"""What a run of the benchmark found: plain data, tables for people, JSON for machines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T", "Ratio", "Count", "Overhead")


@dataclass(frozen=True)
class Ratio:
    """How fast an operation is, as a ratio to its floor: one value for every round.

    :param floor: operations a second of the floor, by round.
    :param operation: operations a second, by round.
    :param bar: the least ratio to reach; None where there is none.
    """

    case: str
    tool: str
    clients: int
    floor: tuple[float, ...]
    operation: tuple[float, ...]
    bar: float | None

    @property
    def rounds(self) -> list[float]:
        """Return the ratio of each round: its two halves ran one after the other."""
        return [ours / bare for ours, bare in zip(self.operation, self.floor, strict=True)]

    @property
    def median(self) -> float:
        """Return the ratio of the middle round."""
        return statistics.median(self.rounds)

    @property
    def reached(self) -> bool | None:
        """Say whether the bar is reached, as printed."""
        return None if self.bar is None else round(self.median, 2) >= self.bar


@dataclass(frozen=True)
class Count:
    """What one operation needs of something, counted.

    :param floor: of the floor; None where there is nothing to count.
    :param operation: of idemdb's operation; None where it cannot be counted here.
    :param bar: the most it may be; for hot_share the least.
    :param over_floor: whether the bar is for what the operation needs more than the floor.
    """

    case: str
    measure: str
    floor: float | None
    operation: float | None
    bar: float
    over_floor: bool

    @property
    def reached(self) -> bool | None:
        """Say whether the bar is reached, as printed."""
        if self.operation is None:
            return None
        if self.measure == "hot_share":
            return self.operation >= self.bar
        # What others do on the server shows in a few of many operations.
        return round(self.operation - (self.floor or 0) * self.over_floor, 1) <= self.bar


@dataclass(frozen=True)
class Overhead:
    """Microseconds of processor time that a call of Idem needs more than psycopg alone, by round."""

    call: str
    microseconds: tuple[float, ...]
    bar: float

    @property
    def median(self) -> float:
        """Return the middle round's."""
        return statistics.median(self.microseconds)

    @property
    def reached(self) -> bool:
        """Say whether the bar is reached, as printed."""
        return round(self.median, 1) <= self.bar


@dataclass(frozen=True)
class Report:
    """A run of the benchmark.

    :param environment: processor, versions, settings of the server, and how long was measured.
    """

    environment: dict[str, Any]
    ratios: tuple[Ratio, ...]
    counts: tuple[Count, ...]
    python: tuple[Overhead, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report for a JSON document."""
        return {
            "environment": self.environment,
            "ratios": [
                asdict(ratio)
                | {
                    "median": ratio.median,
                    "low": min(ratio.rounds),
                    "high": max(ratio.rounds),
                    "reached": ratio.reached,
                }
                for ratio in self.ratios
            ],
            "counts": [asdict(count) | {"reached": count.reached} for count in self.counts],
            "python": [
                asdict(call) | {"median": call.median, "reached": call.reached} for call in self.python
            ],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Report:
        """Read what `as_json` returns."""
        return cls(
            document["environment"],
            tuple(_read(Ratio, found) for found in document["ratios"]),
            tuple(_read(Count, found) for found in document["counts"]),
            tuple(_read(Overhead, found) for found in document["python"]),
        )


MEASURES = {
    "round_trips": "round trips",
    "wal_bytes": "bytes of WAL",
    "xids": "transaction ids",
    "dead_tuples": "dead tuples",
    "hot_share": "HOT share of updates",
}
MARKS = {True: "reached", False: "missed", None: "-"}


def tables(report: Report) -> list[Table]:
    """Return the report as tables."""
    speed = _table("Operations a second, and their ratio to the floor of the same round")
    for name in ("case", "tool", "clients", "floor/s", "idemdb/s", "ratio", "spread", "bar", ""):
        _column(speed, name, right=name not in {"case", "tool", ""})
    for ratio in report.ratios:
        speed.add_row(
            ratio.case,
            ratio.tool,
            str(ratio.clients),
            f"{statistics.median(ratio.floor):,.0f}",
            f"{statistics.median(ratio.operation):,.0f}",
            f"{ratio.median:.2f}",
            _spread(ratio.rounds, 2),
            "-" if ratio.bar is None else f"≥ {ratio.bar:.2f}",
            MARKS[ratio.reached],
        )
    counted = _table("Counted for one operation")
    for name in ("case", "what", "floor", "idemdb", "bar", ""):
        _column(counted, name, right=name in {"floor", "idemdb", "bar"})
    for count in report.counts:
        counted.add_row(
            count.case,
            MEASURES[count.measure],
            number(count.floor),
            number(count.operation),
            limit(count),
            MARKS[count.reached],
        )
    python = _table("Client CPU of a call of Idem, over psycopg alone")
    for name in ("call", "µs", "spread", "bar", ""):
        _column(python, name, right=name not in {"call", ""})
    for call in report.python:
        python.add_row(
            call.call,
            f"{call.median:.1f}",
            _spread(call.microseconds, 1),
            f"≤ {call.bar:g}",
            MARKS[call.reached],
        )
    return [speed, counted, python]


def show(report: Report, console: Console) -> None:
    """Print the environment and the tables."""
    for name, value in report.environment.items():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    for table in tables(report):
        console.print()
        console.print(table)


def _read(kind: type[T], found: dict[str, Any]) -> T:
    """Return an object of its fields; what was computed from them is computed again."""
    values: dict[str, Any] = {field.name: found[field.name] for field in fields(kind)}
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _table(title: str) -> Table:
    return Table(
        title=title, box=None, pad_edge=False, header_style="bold", title_justify="left", title_style="italic"
    )


def number(value: float | None) -> str:
    """Return a count as text."""
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def limit(count: Count) -> str:
    """Return the bar of a count as text."""
    if count.measure == "hot_share":
        return f"≥ {count.bar:g}"
    return f"≤ floor + {count.bar:g}" if count.over_floor else f"≤ {count.bar:g}"


def _column(table: Table, name: str, *, right: bool) -> None:
    """Add a column; in a narrow terminal the case is what gives way."""
    table.add_column(name, justify="right" if right else "left", no_wrap=name != "case")


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"
