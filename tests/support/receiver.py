"""The handler of a relay that may die at any delivery: ``receive`` writes down what it gets.

``IDEMDB_TEST_LOG`` names the file, one for all relays. A message whose payload says ``{"kill": "before"}`` or
``{"kill": "after"}`` kills the process of its first delivery, before or after it is written down.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from idemdb.relay import Outgoing


@dataclass(frozen=True)
class Delivery:
    """One line of the file."""

    dedup_key: str
    key: str
    group: str | None
    sequence: int
    pid: int


def receive(outgoing: Outgoing) -> None:
    """Write the delivery down."""
    message, log = outgoing.message, os.environ["IDEMDB_TEST_LOG"]
    delivery = Delivery(
        message.dedup_key, outgoing.key, message.group_key, message.payload["sequence"], os.getpid()
    )
    kill = message.payload.get("kill") if message.attempt == 1 else None
    if kill == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    # One write to the end of the file: lines of several processes do not mix.
    with Path(log).open("ab", buffering=0) as file:
        file.write(json.dumps(asdict(delivery)).encode() + b"\n")
    if kill == "after":
        os.kill(os.getpid(), signal.SIGKILL)


def deliveries(log: Path) -> list[Delivery]:
    """Read all deliveries in the order in which they came."""
    return [Delivery(**json.loads(line)) for line in log.read_text().splitlines()]
