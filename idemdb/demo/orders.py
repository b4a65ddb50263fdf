"""How the demo talks to its worker processes: JSON on their stdin and stdout, one object a line.

The first line in is the setup, which is answered when the worker is ready; every other one is an order. The
member ``hold`` of an order says where to stop for the demo to kill the process. A reply has the member
``event``: ``ready``, ``holding``, or what became of the order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any

Order = dict[str, Any]
Reply = dict[str, Any]


class Hold(StrEnum):
    """Where a worker stops and waits for its end."""

    BEFORE_COMMIT = "before COMMIT"
    AFTER_COMMIT = "after COMMIT"


class Channel:
    """A worker's end of the two pipes."""

    def __init__(self) -> None:
        """Read the setup, to be found in ``setup``."""
        self._lines = iter(sys.stdin.readline, "")
        self.setup: dict[str, Any] = json.loads(next(self._lines))

    def say(self, reply: Reply) -> None:
        """Send a reply."""
        print(json.dumps(reply), flush=True)

    def serve(self, handle: Callable[[Order], Reply]) -> None:
        """Say that the worker is ready, and handle one order after the other until there are no more."""
        self.say({"event": "ready"})
        for line in self._lines:
            self.say(handle(json.loads(line)))

    def stop_at(self, place: Hold, order: Order) -> None:
        """Say so and wait, if this is where the order wants the process to be killed."""
        if order["hold"] == place:
            self.say({"event": "holding"})
            self.wait()
            sys.exit("the demo ended before it killed this worker")

    def wait(self) -> None:
        """Return when the demo sends a line, or has ended."""
        next(self._lines, None)
