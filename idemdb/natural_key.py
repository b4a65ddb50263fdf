"""Describe a natural key once; the index, the conflict target, the migration and the report follow from it.

A template says how its columns are read:

========================  ====================================================================================
plain                     the columns as they are
tenant-scoped             as plain; the first column is the tenant, so there are two at least
case-insensitive          ``lower()`` of the last column, the others as they are
soft-delete               only live rows: ``deleted_at is null``, or what ``where`` says
one-active                only the rows that ``where`` describes, such as ``status = 'active'``
nulls-not-distinct        as plain, but two rows with NULL are duplicates too
digest                    the sha256 of the last column (text, json, jsonb; bytes as ``payload:bytea``)
json-path                 columns written ``payload->customer->id`` stand for the text at that path
time-window               a column written ``created_at/5 minutes`` stands for the window it falls into
========================  ====================================================================================

No input and no output here: names and SQL only. ``where`` is SQL by the developer who writes the migration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from idemdb.errors import InvalidArgument
from idemdb.key_elements import (
    MAX_NAME,
    TEMPLATES,
    Element,
    Template,
    check_name,
    quote_literal,
    quote_name,
    read,
)

__all__ = [
    "COMMENT_PREFIX",
    "TEMPLATES",
    "Element",
    "KeyDescription",
    "Template",
    "describe",
    "quote_literal",
    "quote_name",
    "read_comment",
]

COMMENT_PREFIX = "idemdb natural key: "

_LIVE_ROWS = "deleted_at is null"


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """A natural key: everything that its index and its users need.

    :param schema: of the table, None for what the search path finds.
    :param table: its name.
    :param name: of the unique index.
    :param template: how the columns were read.
    :param parts: the elements of the index.
    :param predicate: the condition of a partial index, None for all rows.
    :param nulls_not_distinct: whether two rows with NULL are duplicates.
    :param tombstone: the column that says when a row was deleted, None where deleting removes the row.
    :param where: the condition as the developer gave it, None where the template says it.
    """

    schema: str | None
    table: str
    name: str
    template: Template
    parts: tuple[Element, ...]
    predicate: str | None
    nulls_not_distinct: bool
    tombstone: str | None
    where: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the table's columns that the key reads."""
        return tuple(part.column for part in self.parts)

    @property
    def written(self) -> tuple[str, ...]:
        """Return the columns as the developer wrote them, such as ``payload->id``."""
        return tuple(part.written for part in self.parts)

    @property
    def elements(self) -> tuple[str, ...]:
        """Return the SQL of the index's elements: good in a select list, in ``group by`` and the like."""
        return tuple(part.sql for part in self.parts)

    @property
    def qualified_table(self) -> str:
        """Return the table's quoted name, with its schema where that is known."""
        return _qualified(self.schema, self.table)

    @property
    def qualified_name(self) -> str:
        """Return the index's quoted name, with its schema where that is known."""
        return _qualified(self.schema, self.name)

    @property
    def conflict_target(self) -> str:
        """Return what stands after ``on conflict``: the elements and the literal predicate."""
        target = f"({', '.join(part.indexed for part in self.parts)})"
        return target if self.predicate is None else f"{target} where {self.predicate}"

    @property
    def comment(self) -> str:
        """Return the COMMENT by which every door finds the key's template and tombstone."""
        facts: dict[str, object] = {"template": self.template}
        if self.tombstone is not None:
            facts["tombstone"] = self.tombstone
        # What cannot be read back from the index's expressions: autogenerate writes a downgrade from it.
        if any(not part.is_column for part in self.parts):
            facts["columns"] = self.written
        return COMMENT_PREFIX + json.dumps(facts, ensure_ascii=False)

    @property
    def rows(self) -> str:
        """Return the condition on the rows that the index compares: no NULL where NULLs differ."""
        known = [] if self.nulls_not_distinct else [f"{sql} is not null" for sql in self.elements]
        return " and ".join(([f"({self.predicate})"] if self.predicate else []) + known) or "true"

    def create_index(
        self, *, concurrently: bool = True, only: bool = False, if_not_exists: bool = False
    ) -> str:
        """Return the statement that builds the index.

        :param concurrently: without blocking writers; such a statement runs outside of transactions only.
        :param only: on a partitioned table alone, not on its partitions.
        :param if_not_exists: do nothing where anything of that name is there, valid or not.
        """
        words = ["create unique index"]
        words += ["concurrently"] if concurrently else []
        words += ["if not exists"] if if_not_exists else []
        words += [quote_name(self.name), "on"]
        words += ["only"] if only else []
        words += [self.qualified_table, f"({', '.join(part.indexed for part in self.parts)})"]
        words += ["nulls not distinct"] if self.nulls_not_distinct else []
        words += [f"where {self.predicate}"] if self.predicate is not None else []
        return " ".join(words)

    def drop_index(self, *, concurrently: bool = True) -> str:
        """Return the statement that drops the index, and does nothing where it is not there."""
        how = "concurrently " if concurrently else ""
        return f"drop index {how}if exists {self.qualified_name}"

    def comment_on(self) -> str:
        """Return the statement that sets the index's COMMENT."""
        return f"comment on index {self.qualified_name} is {quote_literal(self.comment)}"


def describe(
    table: str,
    columns: str | Sequence[str],
    template: str = "plain",
    *,
    where: str | None = None,
    tombstone: str | None = None,
    name: str | None = None,
    schema: str | None = None,
) -> KeyDescription:
    """Describe a natural key.

    :param table: the table's name, as it is in the catalogue: not quoted.
    :param columns: one or several, in the order of the index; the template says how they are written.
    :param template: one of `TEMPLATES`.
    :param where: SQL; rows for which it is not true are outside of the key.
    :param tombstone: a timestamptz column that ``delete`` sets instead of removing the row. The key stays
        taken after that, so it is no part of the predicate.
    :param name: of the index, ``<table>_<columns>_key`` by default.
    :param schema: of the table.
    :raises InvalidArgument: with a hint, when this describes no natural key.
    """
    check_name(table, "table")
    if schema is not None:
        check_name(schema, "schema")
    written = (columns,) if isinstance(columns, str) else tuple(columns)
    if not written:
        raise InvalidArgument("a natural key has one column at least", hint="name the columns of the key")
    known, parts = read(template, written)
    elements = [part.sql for part in parts]
    if len(set(elements)) < len(elements):
        raise InvalidArgument(f"a column stands twice in {', '.join(written)}", hint="name each one once")
    predicate = _predicate(template, where)
    _check_tombstone(tombstone, parts, template, predicate)
    return KeyDescription(
        schema=schema,
        table=table,
        name=_name(name, table, parts),
        template=known,
        parts=parts,
        predicate=predicate,
        nulls_not_distinct=template == "nulls-not-distinct",
        tombstone=tombstone,
        where=predicate if where is not None else None,
    )


def read_comment(comment: str | None) -> dict[str, object] | None:
    """Return the facts that the COMMENT of an index holds, None where it is not a natural key's."""
    facts = _facts(comment)
    return facts if facts.get("template") in TEMPLATES else None


def read_tombstone(comment: str | None) -> str | None:
    """Return the tombstone column that the COMMENT of an index names, whichever template it names or not."""
    name = _facts(comment).get("tombstone")
    return name if isinstance(name, str) else None


def _facts(comment: str | None) -> dict[str, object]:
    """Read the facts in a COMMENT; somebody else's may begin like ours."""
    if comment is None or not comment.startswith(COMMENT_PREFIX):
        return {}
    try:
        facts = json.loads(comment.removeprefix(COMMENT_PREFIX))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _qualified(schema: str | None, name: str) -> str:
    return quote_name(name) if schema is None else f"{quote_name(schema)}.{quote_name(name)}"


def _predicate(template: str, where: str | None) -> str | None:
    if where is None:
        if template == "one-active":
            raise InvalidArgument(
                "template one-active needs where",
                hint="say which rows are active: where=\"status = 'active'\"",
            )
        return _LIVE_ROWS if template == "soft-delete" else None
    predicate = where.strip()
    if not predicate or ";" in predicate:
        raise InvalidArgument(
            f"{where!r} is not the condition of an index",
            hint="give one SQL condition on the table's columns",
        )
    return predicate


def _check_tombstone(
    tombstone: str | None, parts: Sequence[Element], template: str, predicate: str | None
) -> None:
    if tombstone is None:
        return
    check_name(tombstone, "tombstone")
    if template == "soft-delete" or (predicate and re.search(rf"\b{re.escape(tombstone)}\b", predicate)):
        raise InvalidArgument(
            f"the key is not unique among deleted rows, so {tombstone} cannot be its tombstone",
            hint="with a tombstone a deleted row keeps its key: leave the condition out; "
            "template soft-delete, where the key may be used again, has none",
        )
    if tombstone in [part.column for part in parts]:
        raise InvalidArgument(
            f"the tombstone {tombstone} is a column of the key",
            hint="name a timestamptz column outside the key",
        )


def _name(name: str | None, table: str, parts: Sequence[Element]) -> str:
    if name is not None:
        check_name(name, "name")
        return name
    made = "_".join((table, *(part.label for part in parts), "key"))
    if len(made.encode()) > MAX_NAME:
        raise InvalidArgument(
            f"the name {made} is longer than {MAX_NAME} bytes", hint="give a shorter one with name="
        )
    return made
