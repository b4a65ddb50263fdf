"""Deliver the provider's events to some worker processes, again until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from idemdb.demo import consumer
from idemdb.demo.events import Delivery
from idemdb.demo.orders import Hold
from idemdb.demo.process import Program, WorkerProcess, serve
from idemdb.demo.progress import Progress

# More than a consumer needs to give an event up.
_MOST_TRIES: Final = 10

_TOLD: Final = {
    Hold.BEFORE_COMMIT: "killed after the booking, before COMMIT",
    Hold.AFTER_COMMIT: "killed after COMMIT, before the acknowledgement",
}


class Provider:
    """Make all deliveries, while workers are killed."""

    def __init__(
        self,
        setup: consumer.Setup,
        deliveries: Sequence[Delivery],
        holds: Mapping[int, Hold],
        *,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        """Describe the provider; :meth:`run` runs it.

        :param setup: of the workers.
        :param deliveries: made in this order, each to the first worker that is free.
        :param holds: by the number of the delivery whose worker is killed, once.
        :param progress: where is counted.
        :param tell: is given a line about each kill.
        """
        self._program = Program("idemdb.demo.consumer", setup)
        self._waiting = deque(deliveries)
        self._holds = dict(holds)
        self._progress = progress
        self._tell = tell
        self._tries = Counter[int]()
        progress.deliveries = len(deliveries)

    async def run(self, workers: int, ready: asyncio.Barrier) -> None:
        """Deliver everything.

        :param workers: how many processes.
        :param ready: where each of them waits for all others before the first delivery.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(1, workers + 1):
                send = partial(self._send, f"consumer {number}")
                group.create_task(serve(self._program, self._waiting, send, ready))

    async def _send(self, name: str, delivery: Delivery, process: WorkerProcess) -> bool:
        """Deliver once, let the worker die if it is to, and say whether the process is still there."""
        hold = self._holds.pop(delivery.number, None)
        reply = await process.ask(asdict(delivery.event) | {"hold": hold})
        if hold and reply["event"] == "holding":
            await process.kill()
            self._progress.consumer_crashes += 1
            self._tell(f"{name}, {delivery.event.id}: {_TOLD[hold]}")
            self._waiting.appendleft(delivery)
            return False
        self._tries[delivery.number] += 1
        if reply["event"] == "refused" and self._tries[delivery.number] < _MOST_TRIES:
            self._waiting.append(delivery)
        else:
            self._progress.settled += 1
        return True
