"""The command bench."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from idemdb.bench import chart, report, run
from idemdb.bench.database import scratch
from idemdb.cli.common import Failure, json_option, parse_dsn, print_json
from idemdb.embedded import EmbeddedError, EmbeddedPostgres

_FILE = click.Path(dir_okay=False, path_type=Path)


@contextmanager
def _database(dsn: str | None) -> Iterator[str]:
    """Give the DSN of the benchmark's own database, on a server of its own where none is named."""
    if dsn is not None:
        with scratch(parse_dsn(dsn)) as own:
            yield own
        return
    try:
        server = EmbeddedPostgres(durable=True)
        server.start()
    except EmbeddedError as error:
        raise Failure(str(error)) from error
    try:
        with scratch(server.dsn) as own:
            yield own
    finally:
        server.stop()


@click.command()
@click.option(
    "--dsn",
    metavar="DSN",
    help="The server; the role must be allowed to create databases. Else an embedded one is started. "
    "IDEMDB_DSN is not looked at: no server is loaded by accident.",
)
@json_option
@click.option("--output", "-o", type=_FILE, help="Also write the JSON into this file.")
@click.option("--chart", "picture", type=_FILE, help="Also draw a chart into this file (.svg, .png).")
@click.option(
    "--seconds", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="Of each measurement."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Of floor and idemdb in turns."
)
def bench(
    dsn: str | None, as_json: bool, output: Path | None, picture: Path | None, seconds: float, rounds: int
) -> None:
    """Measure what idemdb costs beside bare statements.

    In a database of its own, which is dropped at the end. Prints figures and the bars that they are to reach;
    a missed bar is no error.
    """
    if picture is not None and find_spec("matplotlib") is None:
        raise Failure("A chart needs matplotlib.", "pip install 'idemdb[bench]'")
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bars, _database(dsn) as own:
        task = bars.add_task("starting", total=run.measurements())
        found = run.run(
            own,
            seconds=seconds,
            rounds=rounds,
            progress=lambda title: bars.update(task, description=title, advance=1),
        )
    if as_json:
        print_json(found.as_json())
    else:
        output_console = Console()
        report.show(found, output_console if output_console.is_terminal else Console(width=120))
    if output is not None:
        output.write_text(json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if picture is not None:
        chart.draw(found, picture)
