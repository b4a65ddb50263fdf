"""Every event three times, shuffled, through four processes at once: each is handled once."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from .deliverer import DELIVERIES

PROCESSES = 4


def test_each_event_is_handled_once(dsn: str, large: bool) -> None:
    events, batch = (1_000_000, 1000) if large else (3000, 100)
    with psycopg.connect(dsn) as connection:
        connection.execute("create table public.handled (event_id text not null)")
    arguments = [dsn, str(events), str(batch)]
    command = [sys.executable, "-m", "tests.concurrency.deliverer", *arguments]
    processes = [
        subprocess.Popen([*command, str(part), str(PROCESSES)], stdout=subprocess.PIPE, text=True)
        for part in range(PROCESSES)
    ]
    try:
        told = [tuple(map(int, process.communicate(timeout=3600)[0].split())) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [sum(column) for column in zip(*told, strict=True)] == [events, events * DELIVERIES]
    assert all(new > 0 for new, _ in told)  # they did race
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*), count(distinct event_id) from public.handled").fetchone()
        assert row == (events, events)
        row = connection.execute(
            "select count(*), pg_total_relation_size('idemdb.inbox') / count(*) from idemdb.inbox"
        ).fetchone()
    assert row is not None
    print(f"{row[1]} bytes an event")
    assert row[0] == events
    assert row[1] < 150
