"""A process that runs idemdb's relay: it takes the receipts from the outbox and mails them."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Final

from idemdb.demo.orders import Channel
from idemdb.demo.receipts import HOST, TOPIC
from idemdb.relay import Relay, parse

# How long a mail stays unsent that a killed relay had in hand. Short, for the demo not to wait for it.
_LEASE: Final = 3.0
_TIMEOUT: Final = 2.0
_POLL: Final = 0.1


@dataclass(frozen=True)
class Setup:
    """How a relay works.

    :param dsn: of the database.
    :param port: of the mail server.
    """

    dsn: str
    port: int


def main() -> None:
    """Deliver until the demo ends, or kills this process."""
    channel = Channel()
    setup = Setup(**channel.setup)
    # One mail in hand: then a kill repeats one mail at most, and the demo can tell which.
    relay = Relay(
        setup.dsn,
        {TOPIC: parse(f"smtp://{HOST}:{setup.port}", timeout=_TIMEOUT)},
        concurrency=1,
        lease=_LEASE,
        poll=_POLL,
    )
    channel.say({"event": "ready"})
    threading.Thread(target=_end_with_the_demo, args=[channel], daemon=True).start()
    relay.run(listen=False)


def _end_with_the_demo(channel: Channel) -> None:
    """End the process when the demo has ended, however it did."""
    channel.wait()
    os._exit(1)


if __name__ == "__main__":
    main()
