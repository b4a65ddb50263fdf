"""Draw the ratios of a report, with their spread and their bars. Needs the extra ``bench``."""

from __future__ import annotations

from pathlib import Path

from idemdb.bench.report import Report

_INK, _OURS, _MISSED, _BAR = "#333333", "#2f7d6b", "#c0793a", "#b23a48"


def draw(report: Report, path: Path) -> None:
    """Write the chart.

    :param report: what was found.
    :param path: of the file; its suffix says which format, such as .svg or .png.
    :raises ImportError: without matplotlib.
    """
    from matplotlib.figure import Figure

    ratios = report.ratios
    figure = Figure(figsize=(10, 0.42 * len(ratios) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    for row, ratio in enumerate(ratios):
        low, high = ratio.median - min(ratio.rounds), max(ratio.rounds) - ratio.median
        axes.barh(
            row,
            ratio.median,
            xerr=[[low], [high]],
            color=_MISSED if ratio.reached is False else _OURS,
            error_kw={"ecolor": _INK, "elinewidth": 1, "capsize": 3},
        )
        axes.text(0.01, row, f"{ratio.median:.2f}", va="center", color="white", fontweight="bold")
        if ratio.bar is not None:
            axes.plot([ratio.bar, ratio.bar], [row - 0.4, row + 0.4], color=_BAR, linewidth=2.5)
    axes.axvline(1, color=_INK, linewidth=1, linestyle=":")
    labels = [f"{r.case}, {r.tool}, {r.clients} client{'s' if r.clients > 1 else ''}" for r in ratios]
    axes.set_yticks(range(len(ratios)), labels)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "speed as a ratio to the bare statement of the same round: median and spread; red: to reach"
    )
    axes.spines[["top", "right"]].set_visible(False)
    environment = report.environment
    axes.set_title(
        f"{environment['processor']}, PostgreSQL {environment['postgresql']}", fontsize=10, loc="left"
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
