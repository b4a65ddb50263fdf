"""Wait for what another session does, by looking at it: bounded, and never a sleep that decides a race."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import scalar_row

PATIENCE = 60.0
"""Seconds after which what a test waits for will not come."""


def until(happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Look every few milliseconds until something has happened.

    :raises AssertionError: if it has not after so many seconds.
    """
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def blockers(monitor: psycopg.Connection[Any], pid: int) -> list[int]:
    """Return the process ids that a backend waits for."""
    with monitor.cursor(row_factory=scalar_row) as cursor:
        return list(cursor.execute("select pg_catalog.pg_blocking_pids(%s)", [pid]).fetchone() or [])


def until_blocked(monitor: psycopg.Connection[Any], pid: int) -> list[int]:
    """Wait until a backend waits for others, and return these.

    :param monitor: a connection in autocommit mode.
    """
    until(lambda: bool(blockers(monitor, pid)), f"{pid} is blocked")
    return blockers(monitor, pid)


def until_gone(monitor: psycopg.Connection[Any], pid: int) -> None:
    """Wait until a backend has ended."""
    query = "select from pg_catalog.pg_stat_activity where pid = %s"
    until(lambda: monitor.execute(query, [pid]).fetchone() is None, f"{pid} has ended")


@contextmanager
def meanwhile() -> Iterator[Callable[..., Future[Any]]]:
    """Give a function that runs another one in a thread and returns its future."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit
