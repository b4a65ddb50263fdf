"""Commands about keys: inspect, unresolved, resolve, forget, sweep, stats."""

from __future__ import annotations

import base64
import json
import re
import select
import signal
import socket
from dataclasses import asdict
from types import FrameType
from typing import Any, Self

import click
import psycopg
from rich.console import Console

from idemdb.cli.common import (
    ExitCode,
    Failure,
    connect,
    dsn_option,
    json_option,
    print_fields,
    print_json,
    print_rows,
    query,
)
from idemdb.errors import Answer
from idemdb.sync import Idem

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_IDLE_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ANSWER = ("headers", "body", "result", "recovery_data")


class Duration(click.ParamType[float]):
    """A time span such as 60s, 5m, 2h or 1d; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if not match or not float(match[1]):
            self.fail(f"{value!r} is no time span above zero, such as 60s, 5m or 1h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class Stop:
    """Turn SIGINT and SIGTERM into an answer to "shall I go on?", so that work in hand is finished first."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        """Listen to the signals."""
        self._read, self._write = socket.socketpair()
        self._before = [(number, signal.signal(number, self._note)) for number in _SIGNALS]
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the signals to who had them before."""
        for number, handler in self._before:
            signal.signal(number, handler)
        self._read.close()
        self._write.close()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._write.send(b"\0")

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake up for a signal, and say whether one came.

        :param seconds: how long.
        """
        if not self.asked:
            select.select([self._read], [], [], seconds)
        return self.asked


@click.command()
@dsn_option
@json_option
@click.option("--show-answer", is_flag=True, help="Show body, headers, result and recovery data, too.")
@click.argument("scope")
@click.argument("key")
def inspect(dsn: str, as_json: bool, show_answer: bool, scope: str, key: str) -> None:
    """Show the state of one key.

    The stored answer may hold personal data: it is shown only on demand. Exit code 1 when the key is unknown.
    """
    with connect(dsn) as connection:
        record = asdict(Idem(connection).lookup(scope, key))
    if not show_answer:
        record = {name: value for name, value in record.items() if name not in _ANSWER}
    if as_json:
        print_json(record)
    else:
        print_fields(record)
    if record["state"] == "unknown":
        raise click.exceptions.Exit(ExitCode.NEGATIVE)


@click.command()
@dsn_option
@json_option
def unresolved(dsn: str, as_json: bool) -> None:
    """List the keys whose holder vanished and that only a person can decide about."""
    print_rows(query(dsn, "select * from idemdb.unresolved"), as_json=as_json, empty="No unresolved keys.")


@click.command()
@dsn_option
@json_option
@click.option("--note", required=True, help="Why; kept in the audit.")
@click.option(
    "--answer",
    metavar="JSON",
    help='For completed: {"status": …, "headers": …, "body_base64": …, "result": …, "reference": …}.',
)
@click.argument("scope")
@click.argument("key")
@click.argument("action", type=click.Choice(["completed", "retry", "forget"]))
def resolve(
    dsn: str, as_json: bool, note: str, answer: str | None, scope: str, key: str, action: str
) -> None:
    """Decide about a key whose holder vanished.

    completed: the work was done, and --answer is what repeats get. retry: it was not done, the next request
    may do it. forget: as if the key had never been used. The old claim token becomes void.
    """
    with connect(dsn) as connection:
        state = Idem(connection).resolve(scope, key, action, note, _answer(answer))
    if as_json:
        print_json({"state": state})
    else:
        click.echo(f"The key is now {state}.")


@click.command()
@dsn_option
@json_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.argument("scope")
@click.argument("key", required=False)
def forget(dsn: str, as_json: bool, yes: bool, scope: str, key: str | None) -> None:
    """Erase finished keys with their answers: one key, or all of a scope.

    A repeat of a forgotten request is executed again.
    """
    if not yes:
        what = "this key" if key else f"all finished keys of scope {scope}"
        click.confirm(f"Forget {what}? Repeats of its requests would run again.", abort=True, err=True)
    with connect(dsn) as connection:
        count = Idem(connection).forget(scope, key)
    if as_json:
        print_json({"forgotten": count})
    else:
        click.echo(f"Forgot {count} {'key' if count == 1 else 'keys'}.")


@click.command()
@dsn_option
@json_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=10_000, show_default=True, help="Rows per transaction."
)
@click.option(
    "--every", type=Duration(), help="Repeat at this interval, such as 60s, until SIGTERM or SIGINT."
)
def sweep(dsn: str, as_json: bool, limit: int, every: float | None) -> None:
    """Remove answers past their time and keys that are to be forgotten.

    Goes round the table once, in short transactions. With --every it stays, survives lost connections, and
    ends between two transactions.
    """
    with Stop() as stop:
        _print_sweep(_sweep_pass(dsn, limit, stop), as_json=as_json)
        while every is not None and not stop.wait(every):
            try:
                _print_sweep(_sweep_pass(dsn, limit, stop), as_json=as_json)
            except (Failure, psycopg.OperationalError) as error:
                # The first pass has shown that the DSN is right: the server will come back.
                click.echo(f"Sweep failed, will try again: {error}", err=True)


def _sweep_pass(dsn: str, limit: int, stop: Stop) -> dict[str, int]:
    """Sweep until the cursor has gone round once or a signal came, and count what was removed."""
    removed: dict[str, int] = {}
    complete = False
    with connect(dsn, autocommit=True) as connection, Console(stderr=True).status("Sweeping") as status:
        while not complete and not stop.asked:
            results = Idem(connection).sweep(limit)
            for result in results:
                removed[result.what] = removed.get(result.what, 0) + result.removed
            complete = all(result.pass_complete for result in results)
            if not complete and not any(result.removed for result in results):
                # Either nothing was due in this part, or another sweep is at work, which is no use hurrying.
                stop.wait(_IDLE_SECONDS)
            status.update(f"Sweeping: {sum(removed.values())} removed")
    return removed


def _print_sweep(removed: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        # One line a pass, for logs.
        click.echo(json.dumps({"removed": removed}))
    else:
        click.echo(", ".join(f"{what}: {count}" for what, count in removed.items()) or "Nothing to sweep.")


@click.command()
@dsn_option
@json_option
def stats(dsn: str, as_json: bool) -> None:
    """Count keys by scope and state, with their ages."""
    print_rows(query(dsn, "select * from idemdb.key_overview"), as_json=as_json, empty="No keys.")


def _answer(text: str | None) -> Answer | None:
    """Read the option ``--answer``, whose members are those of idemdb.resolve()."""
    if text is None:
        return None
    try:
        members = dict(json.loads(text))
        if "body_base64" in members:
            members["body"] = base64.b64decode(members.pop("body_base64"), validate=True)
        return Answer(**members)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--answer") from error


COMMANDS = (inspect, unresolved, resolve, forget, sweep, stats)
