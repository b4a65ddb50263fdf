"""Run an example's consumer, which says "here" and hangs when it is about to acknowledge a delivery.

Usage: ``python -m tests.support.hesitant EXAMPLE ARGUMENTS…``
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import NoReturn

import pika.adapters.blocking_connection
import redis

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def hesitate(*_: object, **__: object) -> NoReturn:
    """Wait to be killed."""
    print("here", flush=True)
    sys.stdin.read()
    raise SystemExit("nobody killed it")


if __name__ == "__main__":
    pika.adapters.blocking_connection.BlockingChannel.basic_ack = hesitate
    redis.Redis.xack = hesitate  # type: ignore[method-assign]
    script = EXAMPLES / sys.argv[1] / "consumer.py"
    sys.argv = [str(script), *sys.argv[2:]]
    runpy.run_path(str(script), run_name="__main__")
