"""Show the demo while it runs: alive on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from idemdb.demo.progress import Progress
from idemdb.demo.requests import PaymentRequest

_EVENTS_SHOWN: Final = 6
_BAR_WIDTH: Final = 16


class Display:
    """Tell a person what goes on."""

    def __init__(self, console: Console) -> None:
        """Write to a console.

        :param console: where to.
        """
        self._console = console
        self._events: deque[str] = deque(maxlen=_EVENTS_SHOWN)

    def intro(self, requests: Sequence[PaymentRequest], workers: int) -> None:
        """Say what is going to happen.

        :param requests: of the file.
        :param workers: processes of each service.
        """
        payments = len({request.payment for request in requests})
        for line in (
            f"[bold]Pay, clicked again and again:[/] {len(requests)} requests for {payments} payments.",
            f"{workers} worker processes handle them with idemdb, {workers} others without.",
            "Some are killed in the middle of a payment, some lose their connection at COMMIT.",
            "What got no answer is sent again. The provider's events about the charges come five times each.",
            "Every payment has a receipt to be mailed: with idemdb by relays, which are killed too.",
        ):
            self._say(line)

    def done(self, what: str) -> None:
        """Say what has been done."""
        self._say(f"[green]✓[/] {escape(what)}")

    def fault(self, side: str, what: str) -> None:
        """Tell of a fault.

        :param side: the service that it hit.
        :param what: worker, line and kind.
        """
        line = f"[yellow]⚡[/] {escape(side)}, {escape(what)}"
        if self._console.is_terminal:
            self._events.append(line)
        else:
            self._say(line)

    @contextmanager
    def live(self, total: int, sides: Mapping[str, Progress]) -> Iterator[None]:
        """Show the progress of the services for the time of the block.

        :param total: requests for each.
        :param sides: the services' progress, which changes meanwhile, by their names.
        """
        if not self._console.is_terminal:
            yield
            return
        with Live(
            console=self._console,
            get_renderable=lambda: self._frame(total, sides),
            refresh_per_second=10,
            transient=True,
        ):
            yield

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _frame(self, total: int, sides: Mapping[str, Progress]) -> RenderableType:
        """Draw the present state."""
        table = Table("", *sides, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_row("requests", *(_bar(len(side.answers), total) for side in sides.values()))
        table.add_row("charges", *(str(side.charges) for side in sides.values()))
        table.add_row("charged twice or more", *(_bad(side.double_charges) for side in sides.values()))
        table.add_row("workers killed", *(str(side.crashes) for side in sides.values()))
        table.add_row("connections cut", *(str(side.cuts) for side in sides.values()))
        table.add_row(
            "deliveries of events", *(_bar(side.settled, side.deliveries) for side in sides.values())
        )
        table.add_row("bookings of events", *(str(side.bookings) for side in sides.values()))
        table.add_row("booked twice or more", *(_bad(side.double_bookings) for side in sides.values()))
        table.add_row("consumers killed", *(str(side.consumer_crashes) for side in sides.values()))
        table.add_row("mails sent", *(str(side.mails) for side in sides.values()))
        table.add_row("relays killed", *(str(side.relay_crashes) for side in sides.values()))
        events = [Text.from_markup(event, overflow="ellipsis") for event in list(self._events)]
        for event in events:
            event.no_wrap = True
        return Group("", table, "", *events)


def _bar(done: int, total: int) -> RenderableType:
    """Draw how far it has come."""
    line = Table.grid(padding=(0, 1))
    # A total of 0 would be drawn as a full bar.
    line.add_row(ProgressBar(total=total or 1, completed=done, width=_BAR_WIDTH), f"{done}/{total}")
    return line


def _bad(count: int) -> str:
    """Show a number that ought to be 0."""
    return f"[bold red]{count}[/]" if count else "[bold green]0[/]"
