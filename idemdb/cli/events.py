"""Commands about events and the outbox: events, outbox, dead-letter, relay."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from idemdb.cli.common import connect, dsn_option, json_option, print_fields, print_json, print_rows, query
from idemdb.cli.keys import Duration
from idemdb.relay import Handler, Relay, parse
from idemdb.sync import Idem

_DEAD = """
select name as {name}, id, attempts, last_error, created_at, died_at from idemdb.dead_letters
where kind = %(kind)s order by name, created_at, id
"""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@click.command()
@dsn_option
@json_option
@click.option("--dead", is_flag=True, help="List the dead letters instead.")
def events(dsn: str, as_json: bool, dead: bool) -> None:
    """Count what each consumer remembers, is retrying, and has given up."""
    if dead:
        rows = query(dsn, _DEAD.format(name="consumer"), kind="consumer")
    else:
        rows = query(dsn, "select * from idemdb.event_overview order by consumer")
    print_rows(rows, as_json=as_json, empty="No dead events." if dead else "No consumers.")


@click.command()
@dsn_option
@json_option
@click.option("--dead", is_flag=True, help="List the dead letters instead.")
def outbox(dsn: str, as_json: bool, dead: bool) -> None:
    """Count what of each topic waits, is taken, and was given up."""
    if dead:
        rows = query(dsn, _DEAD.format(name="topic"), kind="topic")
    else:
        rows = query(dsn, "select * from idemdb.outbox_overview order by topic")
    print_rows(rows, as_json=as_json, empty="No dead messages." if dead else "No topics.")


@click.command("dead-letter")
@dsn_option
@json_option
@click.argument("kind", type=click.Choice(["consumer", "topic"]))
@click.argument("name")
@click.argument("id_", metavar="ID")
@click.argument("action", type=click.Choice(["replay", "drop"]))
def dead_letter(dsn: str, as_json: bool, kind: str, name: str, id_: str, action: str) -> None:
    """Decide about an event or a message that was given up.

    replay: try again, with fresh attempts; a consumer has to be given the event again. drop: give up for
    good.
    """
    with connect(dsn) as connection:
        result = Idem(connection).dead_letter(kind, name, id_, action)
    if as_json:
        print_json({"result": result})
    else:
        click.echo(f"The dead letter is {result}.")


@click.command()
@dsn_option
@json_option
@click.option(
    "--handler",
    "targets",
    multiple=True,
    required=True,
    metavar="TOPIC=TARGET",
    help="Who delivers a topic: smtp://HOST:PORT, https://URL, exec:COMMAND or module:function.",
)
@click.option("--once", is_flag=True, help="End when there is nothing to deliver.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=4, show_default=True, help="Deliveries at once."
)
@click.option("--batch", type=click.IntRange(min=1), help="Messages in hand at once; else as --concurrency.")
@click.option(
    "--lease", type=Duration(), default="60s", show_default=True, help="For how long a message is its own."
)
@click.option(
    "--timeout", type=Duration(), default="30s", show_default=True, help="For one delivery; below the lease."
)
@click.option(
    "--poll", type=Duration(), default="1s", show_default=True, help="How often to look for messages."
)
@click.option(
    "--listen/--no-listen", default=True, help="Whether to wake up by NOTIFY, too; not behind PgBouncer."
)
@click.option(
    "--secret", envvar="IDEMDB_WEBHOOK_SECRET", help="Signs webhooks; better given as IDEMDB_WEBHOOK_SECRET."
)
def relay(
    dsn: str,
    as_json: bool,
    targets: tuple[str, ...],
    once: bool,
    concurrency: int,
    batch: int | None,
    lease: float,
    timeout: float,
    poll: float,
    listen: bool,
    secret: str | None,
) -> None:
    """Deliver the messages of the outbox.

    Stays until SIGTERM or SIGINT, then finishes what is in hand; a second signal ends it at once. What a
    killed relay had in hand is delivered again when its lease is over, with the same key.
    """
    if timeout >= lease:
        raise click.UsageError("--timeout must be below --lease: a delivery has to end within it.")
    handlers = _handlers(targets, timeout, secret)
    with connect(dsn) as connection:
        # Without a database or a schema there is nothing to wait for.
        Idem(connection).version()
    worker = Relay(dsn, handlers, concurrency=concurrency, batch=batch, lease=lease, poll=poll)
    with _stopping(worker):
        counts = worker.run(once=once, listen=listen)
    if as_json:
        print_json(counts)
    else:
        print_fields(counts)


def _handlers(targets: tuple[str, ...], timeout: float, secret: str | None) -> dict[str, Handler]:
    """Read the options ``--handler``."""
    # For module:function, as `python -m` would find it.
    sys.path.insert(0, str(Path.cwd()))
    handlers: dict[str, Handler] = {}
    for given in targets:
        topic, equals, target = given.partition("=")
        if not topic or not equals or topic in handlers:
            raise click.BadParameter(
                f"{given!r} is no TOPIC=TARGET of a topic of its own", param_hint="--handler"
            )
        try:
            handlers[topic] = parse(target, timeout=timeout, secret=secret)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--handler") from error
    return handlers


@contextmanager
def _stopping(worker: Relay) -> Iterator[None]:
    """Let the first signal stop the relay, and leave the second to who had it before."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        worker.stop()

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


COMMANDS = (events, outbox, dead_letter, relay)
