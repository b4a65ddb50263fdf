"""Run DDL on a live table: with a lock_timeout, again after a pause, watched where it takes long."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from idemdb import key_catalogue as catalogue
from idemdb.errors import IdemError, InvalidArgument, sqlstate_of

LOCK_NOT_GOT = ("55P03", "40P01")
_WATCH_EVERY = 0.25

_PROGRESS = """\
select phase, lockers_done, lockers_total, blocks_done, blocks_total, tuples_done, tuples_total
from pg_catalog.pg_stat_progress_create_index where pid = :pid"""

_OLDEST = """\
select a.pid, a.usename::text, extract(epoch from clock_timestamp() - a.xact_start)::integer
from pg_catalog.pg_stat_activity as a
where a.datname = current_database() and a.xact_start is not null and a.pid <> pg_backend_pid()
    and a.backend_type = 'client backend'
order by a.xact_start limit 3"""


class IndexNotBuilt(IdemError):
    """The locks for building the index could not be got."""


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is.

    :param index: the index that is being built, of a partition perhaps.
    :param phase: PostgreSQL's word for what it does.
    :param done: of ``total``, in units of the phase: blocks, tuples, or sessions that are waited for.
    :param total: 0 where PostgreSQL does not tell.
    """

    index: str
    phase: str
    done: int
    total: int


Progress = Callable[[BuildProgress], None]


class Ddl:
    """A connection in autocommit, and how patient its statements are."""

    def __init__(
        self,
        connection: Connection,
        lock_timeout: float,
        wait: float,
        attempts: int,
        progress: Progress | None = None,
    ) -> None:
        self.connection = connection
        self.lock_timeout = lock_timeout
        self.wait = wait
        self.attempts = attempts
        self.progress = progress

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep the session's timeouts out of the way, and set them back.

        :raises InvalidArgument: inside a transaction.
        """
        names = ("lock_timeout", "statement_timeout")
        before = {name: str(self.connection.scalar(text(f"show {name}"))) for name in names}
        # By the clocks: drivers do not agree on how to say that they are in autocommit.
        if not self.connection.scalar(text("select statement_timestamp() = transaction_timestamp()")):
            raise InvalidArgument(
                "an index is built concurrently only outside of transactions",
                hint='take engine.connect().execution_options(isolation_level="AUTOCOMMIT")',
            )
        self._set("statement_timeout", "0")
        try:
            yield
        finally:
            if not self.connection.invalidated:
                for name, value in before.items():
                    self._set(name, value)

    def _set(self, name: str, value: str) -> None:
        self.connection.execute(
            text("select pg_catalog.set_config(cast(:name as text), cast(:value as text), false)"),
            {"name": name, "value": value},
        )

    def once(self, statement: str, timeout: float) -> None:
        """Run a statement that waits for each lock as long as it may."""
        self._set("lock_timeout", f"{max(1, int(timeout * 1000))}ms")
        self.connection.execute(catalogue.sql(statement))

    def run(self, statement: str) -> None:
        """Run a short statement whose lock writers wait behind, again and again until it gets it.

        :raises IndexNotBuilt: when it does not.
        """
        for attempt in range(self.attempts):
            try:
                return self.once(statement, self.lock_timeout)
            except DBAPIError as error:
                if sqlstate_of(error) not in LOCK_NOT_GOT:
                    raise
                if attempt + 1 == self.attempts:
                    raise self.not_got(statement) from error
            self.pause(attempt)
        return None

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt; with jitter, so that two that failed together do not meet again."""
        time.sleep(min(8.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311

    def not_got(self, statement: str) -> IndexNotBuilt:
        """Return the error that names the transactions that are in the way."""
        oldest = [
            f"pid {pid} of {user} (for {age} s)" for pid, user, age in self.connection.execute(text(_OLDEST))
        ]
        return IndexNotBuilt(
            f"the lock for `{statement}` was not got in {self.attempts} attempts",
            hint="end the long transactions in this database and run this again; the oldest are "
            + (", ".join(oldest) or "gone by now"),
        )

    @contextmanager
    def watching(self, index: str) -> Iterator[None]:
        """Report the progress of the build meanwhile."""
        progress, engine = self.progress, self.connection.engine
        if progress is None or engine.dialect.is_async:
            yield
            return
        pid = self.connection.scalar(text("select pg_catalog.pg_backend_pid()"))
        over = threading.Event()

        def watch() -> None:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                while not over.wait(_WATCH_EVERY):
                    row = connection.execute(text(_PROGRESS), {"pid": pid}).first()
                    if row is not None:
                        progress(_progress(index, row))

        watcher = threading.Thread(target=watch, name="idemdb-index-build", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(10)


def _progress(index: str, row: Any) -> BuildProgress:
    """Choose the numbers of the phase."""
    phase, lockers_done, lockers_total, blocks_done, blocks_total, tuples_done, tuples_total = row
    if phase.startswith("waiting"):
        return BuildProgress(index, phase, lockers_done, lockers_total)
    if blocks_total:
        return BuildProgress(index, phase, blocks_done, blocks_total)
    return BuildProgress(index, phase, tuples_done or 0, tuples_total or 0)
