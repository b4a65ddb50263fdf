"""The form of a check: a function over a database, entered in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from idemdb.finding import Finding


@dataclass(frozen=True)
class Limits:
    """From when on a thing is old.

    :param snapshot: a transaction that holds a snapshot.
    :param prepared: a prepared transaction.
    :param swept: the last complete pass of sweep, and what it should have removed.
    :param waiting: a message that could be taken from the outbox.
    """

    snapshot: timedelta = timedelta(minutes=15)
    prepared: timedelta = timedelta(minutes=5)
    swept: timedelta = timedelta(days=1)
    waiting: timedelta = timedelta(minutes=15)


@dataclass(frozen=True)
class Patient:
    """The database under examination.

    :param connection: in autocommit mode.
    :param limits: from when on a thing is old.
    """

    connection: psycopg.Connection[Any]
    limits: Limits

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a query as dicts.

        :param query: SQL with parameters by name.
        :param parameters: their values.
        """
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


Look = Callable[[Patient], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One entry of the table of checks.

    :param id: of its findings.
    :param healthy: what is true where it finds nothing.
    :param look: one query, and a finding for each defect.
    :param needs_schema: whether it looks at idemdb's own objects.
    """

    id: str
    healthy: str
    look: Look
    needs_schema: bool = False
