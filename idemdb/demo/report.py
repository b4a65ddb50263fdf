"""Say at the end what the demo found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idemdb.demo.ledger import Charge
from idemdb.demo.receipts import money
from idemdb.demo.requests import PaymentRequest
from idemdb.demo.run import Result, Side
from idemdb.demo.scenario import WITH, WITHOUT

_ROWS: Final = (
    ("requests", "requests"),
    ("payments: different scope and key", "payments"),
    ("charges: requests that charged", "charges"),
    ("  and again when sent again after a fault", "charges_by_resends"),
    ("replays: answered with the receipt of before", "replays"),
    ("refused: same key, another amount", "refused"),
    ("crashes survived: workers killed", "crashes"),
    ("connections cut at COMMIT", "cuts"),
    ("payments charged twice or more", "double_charges"),
    ("payments lost", "lost"),
    ("time per request, ms", "ms_per_request"),
    ("", ""),
    ("events of the payment provider", "events"),
    ("deliveries: each five times, out of order", "deliveries"),
    ("events processed", "events_processed"),
    ("bookings made for them", "bookings"),
    ("events booked twice or more", "double_bookings"),
    ("events given up: dead letters", "events_dead"),
    ("events lost", "events_lost"),
    ("crashes survived: consumers killed", "consumer_crashes"),
    ("", ""),
    ("mails due: a receipt for each payment", "mails"),
    ("mails sent", "mails_sent"),
    ("  again for the same payment", "mail_duplicates"),
    ("  different Message-IDs among them", "mail_ids"),
    ("charges without a mail", "mails_lost"),
    ("crashes survived: relays killed", "relay_crashes"),
)
_BAD: Final = (
    "charges_by_resends", "double_charges", "lost", "double_bookings", "events_lost", "mails_lost"
)  # fmt: skip


def as_json(result: Result) -> dict[str, Any]:
    """Return the numbers of both sides.

    :param result: of the run.
    """
    return _numbers(result.protected) | {"without": _numbers(result.plain)}


def show(result: Result, requests: Sequence[PaymentRequest], console: Console) -> None:
    """Print the table, what it means, and where to go on.

    :param result: of the run.
    :param requests: of the file.
    :param console: where to.
    """

    def say(line: str = "") -> None:
        console.print(line, highlight=False, soft_wrap=True)

    say()
    console.print(_table(result.protected, result.plain))
    say()
    for line in _story(_example(requests, result), result):
        say(line)
    for line in _verdict(result):
        say(line)
    say(f"  Counted in the database and in the mailboxes, after {result.seconds:.0f} s of clicks and faults.")
    say()
    say("Next: write it yourself in ten lines, docs/tutorial/first-key.md")
    say("      or send requests of your own, idemdb demo --input FILE")


def _numbers(side: Side) -> dict[str, Any]:
    """Return all numbers of a side."""
    return asdict(side.numbers) | asdict(side.events) | asdict(side.mails)


def _table(protected: Side, plain: Side) -> Table:
    """Set the numbers of both sides next to each other."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in (WITH, WITHOUT):
        table.add_column(name, justify="right")
    left, right = _numbers(protected), _numbers(plain)
    for title, name in _ROWS:
        if name:
            table.add_row(title, _cell(name, left[name]), _cell(name, right[name]))
        else:
            table.add_row()
    return table


def _cell(name: str, value: float) -> str:
    """Show one number: red where it ought to be 0."""
    if name == "ms_per_request":
        return f"{value:.1f}"
    if name in _BAD:
        return f"[bold red]{value}[/]" if value else "[green]0[/]"
    return str(value)


def _verdict(result: Result) -> Iterator[str]:
    """Say what was kept with idemdb, and what went wrong without."""
    promises = [
        (result.paid_once, "every payment was charged exactly once", "payments were charged twice or lost"),
        (result.booked_once, "every event was booked once, or given up", "events were booked twice or lost"),
        (result.mailed_once, "every receipt was mailed, repeats by one Message-ID", "mails went astray"),
    ]
    for kept, good, bad in promises:
        if kept:
            yield f"[bold green]✓ With idemdb {good}.[/]"
        else:
            yield f"[bold red]✗ With idemdb {bad}. Please report this.[/]"
    for letter in result.dead_letters:
        why = f"{letter.attempts} attempts, the last: {letter.last_error}"
        yield f"  The poisoned event waits for a person: {escape(f'{letter.id}, {why}')}"
    extra = _extra(result.plain.charges)
    if extra:
        yield f"[bold red]✗ Without it, customers paid {extra} too much.[/]"
    events, mails = result.plain.events, result.plain.mails
    if events.double_bookings or mails.mails_lost:
        yield (
            f"[bold red]✗ Without it, {events.double_bookings} events were booked twice or more, and "
            f"{mails.mails_lost} charges got no mail.[/]"
        )


def _example(requests: Sequence[PaymentRequest], result: Result) -> list[PaymentRequest]:
    """Return the clicks of a payment that was clicked three times, with a fault if there is such a one."""
    clicks: dict[tuple[str, str], list[PaymentRequest]] = defaultdict(list)
    for request in requests:
        clicks[request.payment].append(request)
    same = (found for found in clicks.values() if len({(one.amount, one.currency) for one in found}) == 1)
    three = [found for found in same if len(found) == 3]
    return max(three, key=lambda found: found[0].number in result.faults, default=[])


def _story(clicks: Sequence[PaymentRequest], result: Result) -> list[str]:
    """Tell what became of three clicks."""
    if not clicks:
        return []
    one = clicks[0]
    lines, price = ", ".join(str(click.number) for click in clicks), money(one.amount, one.currency)
    told = [f"For example {escape(one.scope)}, three clicks for {price} (lines {lines})"]
    if one.number in result.faults:
        told.append(f"  ⚡ line {one.number}: {result.faults[one.number].value}; so it was sent again")
    for name, side in ((WITH, result.protected), (WITHOUT, result.plain)):
        charges = [charge for charge in side.charges if (charge.scope, charge.key) == one.payment]
        times = "once" if len(charges) == 1 else f"{len(charges)} times"
        total = money(sum(charge.amount for charge in charges), one.currency)
        told.append(f"  {name:<12} charged {times}, {total}")
    return [*told, ""]


def _extra(charges: Sequence[Charge]) -> str:
    """Return what was charged beyond the first charge of each payment, in all currencies."""
    seen: set[tuple[str, str]] = set()
    extra = Counter[str]()
    for charge in charges:
        if (charge.scope, charge.key) in seen:
            extra[charge.currency] += charge.amount
        seen.add((charge.scope, charge.key))
    return " + ".join(money(amount, currency) for currency, amount in sorted(extra.items()))
