"""Eight relay processes that are killed now and then: all is delivered, and twice only where it must be."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psycopg

from tests.support.receiver import Delivery, deliveries

RELAYS = 8
LEASE = 5
GROUPS = 23
PROGRAM = "from idemdb.cli.main import main; main()"

ADD = """
    select count(*) from pg_catalog.generate_series(%(first)s::integer, %(last)s::integer) as n,
    idemdb.outbox_add(
        't', 'message-' || n,
        pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'sequence', n, 'kill', case n %% %(spare)s when 7 then 'before' when 17 then 'after' end
        )),
        p_group => case when n %% 3 > 0 then 'group-' || n %% %(groups)s end
    )
"""
LEFT = "select count(*) from idemdb.outbox_messages where not dead"


class Relays:
    """Relay processes; whoever dies is replaced."""

    def __init__(self, dsn: str, log: Path) -> None:
        options = ["--lease", f"{LEASE}s", "--timeout", "1s", "--poll", "0.2s"]
        handler = ["--handler", "t=tests.support.receiver:receive"]
        self._command = [sys.executable, "-c", PROGRAM, "relay", "--dsn", dsn, *options, *handler]
        self._environment = os.environ | {"IDEMDB_TEST_LOG": str(log)}
        self._running = [self._start() for _ in range(RELAYS)]
        self.killed: set[int] = set()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL)

    def replace(self) -> None:
        """Start a relay for each that was killed."""
        for place, relay in enumerate(self._running):
            if relay.poll() is not None:
                assert relay.returncode == -signal.SIGKILL
                self.killed.add(relay.pid)
                self._running[place] = self._start()

    def kill_one(self) -> None:
        """Kill any of them."""
        random.choice(self._running).kill()

    def stop(self) -> None:
        """Ask all to finish what they have in hand and end; they do."""
        for relay in self._running:
            relay.terminate()
        # One that was started just now may not have come to listen to signals yet.
        assert {relay.wait(30) for relay in self._running} <= {0, -signal.SIGTERM}

    def end(self) -> None:
        """End them, however things stand."""
        for relay in self._running:
            relay.kill()
            relay.wait()


def run(dsn: str, log: Path, *, patience: float, kill_every: float | None) -> set[int]:
    """Relay until nothing is left; return the processes that were killed meanwhile."""
    deadline, next_kill = time.monotonic() + patience, time.monotonic() + (kill_every or patience)
    relays = Relays(dsn, log)
    try:
        with psycopg.connect(dsn, autocommit=True) as monitor:
            while monitor.execute(LEFT).fetchone() != (0,):
                assert time.monotonic() < deadline, "the relays do not get through"
                if time.monotonic() > next_kill:
                    relays.kill_one()
                    next_kill = time.monotonic() + (kill_every or patience)
                relays.replace()
                time.sleep(0.05)
        relays.replace()
        relays.stop()
    finally:
        relays.end()
    return relays.killed


def assert_right(log: list[Delivery], messages: int, killed: set[int]) -> None:
    """Assert what is promised of any history of deliveries."""
    times = Counter(delivery.dedup_key for delivery in log)
    assert set(times) == {f"message-{n}" for n in range(1, messages + 1)}
    by_key: dict[str, list[Delivery]] = defaultdict(list)
    by_group: dict[Any, list[int]] = defaultdict(list)
    for delivery in log:
        by_key[delivery.dedup_key].append(delivery)
        by_group[delivery.group].append(delivery.sequence)
    for all_of_it in by_key.values():
        assert len({delivery.key for delivery in all_of_it}) == 1
        # Each delivery but the last was made by a process that was killed before it could say so.
        assert {delivery.pid for delivery in all_of_it[:-1]} <= killed
    by_group.pop(None)
    for group, sequence in by_group.items():
        assert sequence == sorted(sequence), group


def test_relays_that_are_killed(dsn: str, tmp_path: Path, large: bool) -> None:
    messages, spare = (100_000, 10_000) if large else (300, 50)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for first in range(1, messages + 1, 10_000):
            last = min(first + 9999, messages)
            connection.execute(ADD, {"first": first, "last": last, "spare": spare, "groups": GROUPS})
    log = tmp_path / "log"
    killed = run(dsn, log, patience=3600 if large else 120, kill_every=1 if large else None)
    assert_right(deliveries(log), messages, killed)
    delivered = len(deliveries(log))
    print(f"{messages} messages, {delivered} deliveries, {len(killed)} kills")
    assert killed
    assert delivered > messages  # some kills did fall between delivery and done
