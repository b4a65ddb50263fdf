"""Build a natural key's unique index on a live table, whatever an interrupted build left behind.

Writers go on: an ordinary table's index is built CONCURRENTLY, a partitioned table's partition by partition.
All of it may be run again. It needs a connection in autocommit, and none that PgBouncer pools by transaction.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from idemdb import key_catalogue as catalogue
from idemdb.errors import IdemError, InvalidArgument, sqlstate_of
from idemdb.index_ddl import LOCK_NOT_GOT, BuildProgress, Ddl, IndexNotBuilt, Progress
from idemdb.key_catalogue import LiveIndex, LiveTable
from idemdb.key_elements import MAX_NAME
from idemdb.natural_key import KeyDescription, quote_name

__all__ = [
    "BuildProgress",
    "Built",
    "DuplicateRows",
    "IndexNotBuilt",
    "build",
    "build_blocking",
    "count_duplicates",
    "drop",
    "drop_statement",
    "duplicate_rows",
]


# Another session's index of the same name, and duplicates that may be gone already, are looked at once more.
_LOOK_AGAIN = (*LOCK_NOT_GOT, "42P07", "23505")

Outcome = Literal["present", "built", "repaired"]


class DuplicateRows(IdemError):
    """Rows of the table are duplicates under the natural key, so that its index cannot be built."""

    def __init__(self, message: str | None = None, *, groups: int = 0, rows: int = 0, **about: Any) -> None:
        """Describe the error.

        :param groups: how many keys stand in several rows.
        :param rows: how many rows these are.
        """
        super().__init__(message, **about)
        self.groups = groups
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did.

    :param outcome: ``present``: nothing to do; ``built``; ``repaired``: an invalid index was there.
    :param key: the natural key, with the schema in which its table was found.
    """

    outcome: Outcome
    key: KeyDescription


def build(
    connection: Connection,
    key: KeyDescription,
    *,
    lock_timeout: float = 5.0,
    wait: float = 120.0,
    attempts: int = 10,
    progress: Progress | None = None,
) -> Built:
    """Build the index of a natural key; where it is there, nothing is done.

    :param connection: in autocommit.
    :param key: from `natural_key.describe`.
    :param lock_timeout: seconds to wait for a lock that writers, too, wait behind.
    :param wait: seconds that one attempt waits for transactions that began before it. Nobody waits behind it.
    :param attempts: how often a lock is asked for, with growing pauses.
    :param progress: called a few times a second while PostgreSQL builds, from a thread with a connection of
        its own (a new one of the same engine). Not with an asynchronous driver.
    :raises DuplicateRows: the table holds duplicates; what was begun is taken away again.
    :raises IndexNotBuilt: the locks were not got.
    :raises InvalidArgument: the table cannot carry the key, or another index has its name.
    """
    ddl = Ddl(connection, lock_timeout, wait, attempts, progress)
    with ddl.session():
        table = catalogue.table_of(connection, key)
        key = replace(key, schema=table.schema)
        catalogue.check_columns(connection, table, key)
        try:
            outcome = _partitioned(ddl, table, key) if table.kind == "p" else _ordinary(ddl, table, key)
        except DuplicateRows as error:
            if table.kind == "p":
                raise duplicate_rows(connection, key) from error  # of the whole, not of one partition
            raise
        live = catalogue.find_index(connection, table.schema, key.name)
        if live is None or live.comment != key.comment:
            ddl.run(key.comment_on())
    return Built(outcome, key)


def build_blocking(connection: Connection, key: KeyDescription) -> Built:
    """Build the index inside the present transaction, which blocks writers: for a new or quiet table.

    :raises DuplicateRows: the table holds duplicates. The transaction has failed.
    :raises InvalidArgument: as for `build`.
    """
    table = catalogue.table_of(connection, key)
    key = replace(key, schema=table.schema)
    catalogue.check_columns(connection, table, key)
    live = _own_index(connection, table, key)
    if live is not None and not live.valid:
        raise InvalidArgument(
            f"the index {key.qualified_name} is there and invalid",
            hint="build it concurrently: that repairs it",
        )
    if live is None:
        try:
            with connection.begin_nested():
                connection.execute(catalogue.sql(key.create_index(concurrently=False)))
        except DBAPIError as error:
            if sqlstate_of(error) == "23505":
                raise duplicate_rows(connection, key) from error
            raise
    connection.execute(catalogue.sql(key.comment_on()))
    return Built("built" if live is None else "present", key)


def drop(
    connection: Connection, key: KeyDescription, *, lock_timeout: float = 5.0, attempts: int = 10
) -> bool:
    """Drop the index of a natural key without blocking writers; where it is not there, nothing is done.

    An index that belongs to a UNIQUE or PRIMARY KEY constraint stays; only its COMMENT goes. A partitioned
    table's index cannot be dropped concurrently: writers are blocked for a moment.

    :param connection: in autocommit.
    :param key: whose name and table count.
    :return: whether something was there.
    """
    ddl = Ddl(connection, lock_timeout, lock_timeout * 6, attempts)
    with ddl.session():
        table = catalogue.table_of(connection, key)
        live = catalogue.find_index(connection, table.schema, key.name)
        if live is None:
            return False
        _refuse_other_table(live, table)
        ddl.run(drop_statement(live, table))
        return True


def drop_statement(live: LiveIndex, table: LiveTable, *, concurrently: bool = True) -> str:
    """Return the statement that ends a natural key."""
    name = f"{quote_name(live.schema)}.{quote_name(live.name)}"
    if live.of_constraint:
        return f"comment on index {name} is null"
    how = "concurrently " if concurrently and table.kind != "p" else ""
    return f"drop index {how}if exists {name}"


def count_duplicates(connection: Connection, key: KeyDescription) -> tuple[int, int]:
    """Return how many keys stand in several rows, and how many rows these are."""
    elements = ", ".join(f"({element})" for element in key.elements)
    groups, rows = connection.execute(
        catalogue.sql(
            "select count(*), coalesce(sum(g.n), 0)::bigint from (select count(*) as n "
            f"from {key.qualified_table} where {key.rows} group by {elements} having count(*) > 1) as g"
        )
    ).one()
    return int(groups), int(rows)


def duplicate_rows(connection: Connection, key: KeyDescription) -> DuplicateRows:
    """Return the error that says how many duplicates there are."""
    groups, rows = count_duplicates(connection, key)
    options = "" if key.template == "plain" else f" --template {key.template}"
    table = key.table if key.schema in (None, "public") else f"{key.schema}.{key.table}"
    what = f"{shlex.quote(table)} {shlex.quote(','.join(key.written))}{options}"
    return DuplicateRows(
        f"{groups} keys of {key.qualified_table} stand in {rows} rows, so {key.name} cannot be unique",
        groups=groups,
        rows=rows,
        hint=f"look at them with `idemdb natural-key report {what}`, "
        "merge them with `idemdb natural-key apply`, then run this again",
    )


def _refuse_other_table(live: LiveIndex, table: LiveTable) -> None:
    if live.table != table.name:
        raise InvalidArgument(
            f"the index {live.name} belongs to the table {live.table}",
            hint="give the key another name with name=",
        )


def _own_index(connection: Connection, table: LiveTable, key: KeyDescription) -> LiveIndex | None:
    """Return the index of the key's name, which must be the one that the key describes."""
    live = catalogue.find_index(connection, table.schema, key.name)
    if live is None:
        return None
    _refuse_other_table(live, table)
    other = catalogue.differences(connection, table, key, live)
    if other:
        raise InvalidArgument(
            f"the index {key.qualified_name} is there and is another one: {'; '.join(other)}",
            hint="drop it first (op.drop_natural_key), or give the key another name with name=; it is: "
            + live.definition,
        )
    return live


def _ordinary(ddl: Ddl, table: LiveTable, key: KeyDescription) -> Outcome:
    """Build the index of a table that is not partitioned."""
    outcome: Outcome = "present"
    statement = key.create_index()
    for attempt in range(ddl.attempts):
        live = _own_index(ddl.connection, table, key)
        if live is not None and not live.valid:
            if not _await_builder(ddl, table):
                continue
            live = _own_index(ddl.connection, table, key)
        if live is not None and live.valid:
            return outcome
        if live is not None:
            outcome = "repaired" if outcome == "present" else outcome
            _take_away(ddl, key)
        elif outcome == "present":
            outcome = "built"
        state = _create(ddl, statement, key)
        if state == "23505":
            _take_away(ddl, key)
            error = duplicate_rows(ddl.connection, key)
            if error.groups:
                raise error
        if state is not None:
            ddl.pause(attempt)
    live = _own_index(ddl.connection, table, key)
    if live is None or not live.valid:
        _take_away(ddl, key)
        raise ddl.not_got(statement)
    return outcome


def _await_builder(ddl: Ddl, table: LiveTable) -> bool:
    """Wait until no other session builds an index of this table; false when that takes too long.

    An index that is invalid after that is nobody's.
    """
    lock = f"lock table {table.qualified} in share update exclusive mode"
    try:
        # As one statement: the lock is held for this moment only, and no transaction is left open.
        ddl.once(f"do $idemdb$ begin {lock}; end $idemdb$", ddl.wait)
    except DBAPIError as error:
        if sqlstate_of(error) not in LOCK_NOT_GOT:
            raise
        return False
    return True


def _take_away(ddl: Ddl, key: KeyDescription) -> None:
    """Drop an invalid index: it may enforce uniqueness already, and is no conflict target."""
    live = catalogue.find_index(ddl.connection, str(key.schema), key.name)
    if live is not None and not live.valid:
        ddl.run(key.drop_index())


def _create(ddl: Ddl, statement: str, key: KeyDescription) -> str | None:
    """Try once to build; return the SQLSTATE of a failure that another attempt may avoid."""
    try:
        with ddl.watching(key.name):
            ddl.once(statement, ddl.wait)
    except DBAPIError as error:
        state = sqlstate_of(error)
        if state not in _LOOK_AGAIN:
            raise
        return state
    return None


def _partitioned(ddl: Ddl, table: LiveTable, key: KeyDescription) -> Outcome:
    """Build the index of a partitioned table: on it alone, then on each partition, attached one by one."""
    live = _own_index(ddl.connection, table, key)
    if live is not None and live.valid:
        return "present"
    outcome: Outcome = "built" if live is None else "repaired"
    partitions = catalogue.partitions_of(ddl.connection, table)
    foreign = [partition.qualified for partition in partitions if partition.kind == "f"]
    if foreign:
        raise InvalidArgument(
            f"{', '.join(foreign)} is a foreign table, which cannot have a unique index",
            hint="detach it, or keep the key on the other partitions",
        )
    if live is None:
        _create_on_parent(ddl, key)
        live = catalogue.find_index(ddl.connection, table.schema, key.name)
    assert live is not None
    for partition in partitions:
        _partition(ddl, partition, key, live)
    return outcome


def _create_on_parent(ddl: Ddl, key: KeyDescription) -> None:
    try:
        ddl.run(key.create_index(concurrently=False, only=True))
    except DBAPIError as error:
        if sqlstate_of(error) != "0A000":
            raise
        raise InvalidArgument(
            f"the key {key.name} lacks a column by which {key.qualified_table} is partitioned",
            hint="add the columns of the partition key; they must come from the row or event itself, never "
            "from its arrival, or one event stands in two partitions",
        ) from error


def _partition(ddl: Ddl, partition: LiveTable, key: KeyDescription, parent: LiveIndex) -> None:
    attached = catalogue.attached_index(ddl.connection, partition, parent)
    if attached is not None and attached.valid:
        return
    name = attached.name if attached is not None else _partition_index_name(partition, key)
    own = replace(key, schema=partition.schema, table=partition.name, name=name)
    if partition.kind == "p":
        _partitioned(ddl, partition, own)
    else:
        _ordinary(ddl, partition, own)
    if attached is None:
        ddl.run(f"alter index {key.qualified_name} attach partition {own.qualified_name}")


def _partition_index_name(partition: LiveTable, key: KeyDescription) -> str:
    """Return the same name in every run, so that a later one finds what an earlier one built."""
    name = f"{partition.name}_{key.name.removeprefix(key.table + '_')}"
    if len(name.encode()) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: MAX_NAME - 9].decode(errors="ignore") + "_" + digest
