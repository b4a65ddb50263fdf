"""The command that shows what idemdb does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from idemdb import resources
from idemdb.cli.common import ExitCode, Failure, Unusable, json_option, parse_dsn, print_json
from idemdb.demo import report
from idemdb.demo.database import ServerError
from idemdb.demo.display import Display
from idemdb.demo.process import DemoError
from idemdb.demo.requests import InputError, PaymentRequest, read
from idemdb.demo.run import run
from idemdb.embedded import EmbeddedError


def _requests(_ctx: click.Context, _param: click.Parameter, path: Path) -> list[PaymentRequest]:
    try:
        return read(path)
    except InputError as error:
        raise click.BadParameter(f"\n{error}") from error


@click.command()
@click.option(
    "--dsn",
    callback=lambda _ctx, _param, value: parse_dsn(value) if value else None,
    metavar="DSN",
    help="A server to use instead of an embedded one; IDEMDB_DSN is not read. The demo makes a database of "
    "its own there and drops it.",
)
@json_option
@click.option(
    "--input",
    "requests",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=resources.PAYMENTS,
    callback=_requests,
    metavar="FILE",
    help="Payment requests of yours, one JSON object a line.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="Worker processes of each of the two services.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides which payments meet a fault.")
def demo(dsn: str | None, as_json: bool, requests: list[PaymentRequest], workers: int, seed: int) -> None:
    """Click Pay three times and be charged once, while processes are killed and connections break.

    Runs the same payments, webhook events and receipt mails with idemdb and without it, and counts them.
    Exit code 1 when idemdb let a payment or an event count twice or be lost, or a mail go astray.
    """
    console = Console(stderr=as_json)
    display = Display(console)
    display.intro(requests, workers)
    try:
        with _interruptible():
            result = run(requests, dsn=dsn, workers=workers, seed=seed, display=display)
    except (EmbeddedError, ServerError) as error:
        raise Unusable(str(error)) from error
    except DemoError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json(report.as_json(result))
    else:
        report.show(result, requests, console)
    if not result.kept:
        raise click.exceptions.Exit(ExitCode.NEGATIVE)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a closed terminal and SIGTERM end the block as Ctrl-C does: with everything put away."""
    # A shell ignores SIGINT for what it runs in the background; nohup's ignored SIGHUP is respected.
    handlers: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            handlers[ending] = lambda _number, _frame: signal.raise_signal(signal.SIGINT)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
