"""What a typed helper is made of: a table, and pieces of SQL that say what its natural key is.

Every piece means the same under any ``search_path`` and with any name of a column: parameters are written
$1, $2, …, the stored row is ``t``, rows of a batch are ``r`` with columns that begin with ``idemdb_``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_BYTES = '({})::pg_catalog.text collate pg_catalog."C"'


def quoted(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a literal of SQL, whatever the server's settings are."""
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Column:
    """A column, as the catalogue has it; types and collations are SQL, with their schema.

    :param type: without modifier.
    :param declared: with modifier, such as ``numeric(10,2)``.
    :param array: of the arrays of a batch; ``text[]`` where there are no arrays of the type, as of arrays.
    :param collation: None where the type has none.
    :param equality: the operator that says whether two values are equal; None where their texts are compared.
    :param default: SQL, None for none.
    :param identity: '' for none, 'a' for always, 'd' for by default.
    :param generated: whether PostgreSQL computes it.
    """

    name: str
    type: str
    declared: str
    array: str
    collation: str | None = None
    equality: str | None = "="
    default: str | None = None
    identity: Literal["", "a", "d"] = ""
    generated: bool = False

    @property
    def usual(self) -> bool:
        """Say whether it is a parameter unless columns are chosen."""
        return self.default is None and not self.identity and not self.generated

    @property
    def as_text(self) -> bool:
        """Say whether a batch gives it as texts."""
        return self.array == "text[]" and self.type != "text"


@dataclass(frozen=True)
class Table:
    """A table.

    :param columns: in their order.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]

    @property
    def sql(self) -> str:
        """Return its name as SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(frozen=True)
class Element:
    """A column or expression of a unique index.

    :param stored: SQL over the table's columns.
    :param given: SQL over the columns that a caller gives: that of a generated column is its expression.
    :param column: the column, where it is one that a caller gives.
    :param type: of the value.
    :param operator: by which the index compares.
    :param collation: by which it does.
    :param opclass: None for the type's own.
    :param nullable: whether it may be null.
    """

    stored: str
    given: str
    column: str | None
    type: str
    operator: str = "="
    collation: str | None = None
    opclass: str | None = None
    nullable: bool = False

    @property
    def target(self) -> str:
        """Return it as a part of a conflict target."""
        words = [
            quoted(self.column) if self.column is not None else f"({self.stored})",
            *([f"collate {self.collation}"] if self.collation else []),
            *([self.opclass] if self.opclass else []),
        ]
        return " ".join(words)

    def equals(self, stored: str, given: str, *, nulls: bool) -> str:
        """Return SQL that is true where two values are one to the index."""
        compared = f"{stored} {self.operator} {given}" + (
            f" collate {self.collation}" if self.collation else ""
        )
        return f"({compared} or ({stored} is null and {given} is null))" if nulls else compared


@dataclass(frozen=True)
class NaturalKey:
    """A unique index.

    :param name: of the index, or of its constraint.
    :param elements: in their order.
    :param columns: what a caller has to give for it.
    :param predicate: SQL; None where all rows are in it.
    :param predicate_columns: what the predicate looks at.
    :param nulls_equal: whether it is NULLS NOT DISTINCT.
    :param tombstone: the column that says when a row was deleted.
    """

    name: str
    elements: tuple[Element, ...]
    columns: tuple[str, ...]
    predicate: str | None = None
    predicate_columns: tuple[str, ...] = ()
    nulls_equal: bool = False
    tombstone: str | None = None


Shape = tuple[Table, NaturalKey]


@dataclass(frozen=True)
class Parts:
    """Pieces of SQL for one table, natural key and choice of columns.

    :param taken: the columns that are parameters, in their order.
    """

    table: Table
    key: NaturalKey
    taken: tuple[Column, ...]

    @cached_property
    def put(self) -> tuple[Column, ...]:
        """Return the columns that a put sets: never those of the key."""
        return tuple(column for column in self.taken if column.name not in self.key.columns)

    @property
    def names(self) -> str:
        """Return the columns of an insert."""
        return ", ".join(quoted(column.name) for column in self.taken)

    @property
    def target(self) -> str:
        """Return the conflict target."""
        where = f" where {self.key.predicate}" if self.key.predicate else ""
        return f"({', '.join(element.target for element in self.key.elements)}){where}"

    @property
    def tombstone(self) -> str | None:
        """Return the tombstone of the stored row."""
        return f"t.{quoted(self.key.tombstone)}" if self.key.tombstone else None

    @property
    def predicate_given(self) -> bool:
        """Say whether the parameters alone tell if a row is in the index."""
        given = {column.name for column in self.taken}
        return bool(self.key.predicate) and given.issuperset(self.key.predicate_columns)

    def match(self, values: Sequence[str]) -> str:
        """Return SQL that is true for the stored row with a key.

        :param values: of the elements, as SQL.
        """
        found = [
            element.equals(
                f"t.{quoted(element.column)}" if element.column is not None else f"({element.stored})",
                value,
                nulls=self.key.nulls_equal and element.nullable,
            )
            for element, value in zip(self.key.elements, values, strict=True)
        ]
        return "\n    and ".join(found + ([f"({self.key.predicate})"] if self.key.predicate else []))

    def element(self, element: Element, values: Sequence[str]) -> str:
        """Return SQL for the value of an element.

        :param values: of the parameters, as SQL.
        """
        return self.over_given(element.given, self.key.columns, values)

    def over_given(self, expression: str, columns: Sequence[str], values: Sequence[str]) -> str:
        """Return an expression over columns of the table, computed from the parameters.

        :param columns: that the expression names, at least.
        :param values: of the parameters, as SQL.
        """
        given = ", ".join(
            value
            + (f" collate {column.collation}" if column.collation else "")
            + f" as {quoted(column.name)}"
            for column, value in zip(self.taken, values, strict=True)
            if column.name in columns
        )
        return f"(select ({expression}) from (select {given}) as x)"

    def differ(self, stored: Sequence[str], given: Sequence[str]) -> str:
        """Return SQL that is true where a put would change something.

        :param stored: the values of the columns of `put`, as SQL.
        :param given: the same.
        """
        pairs = zip(self.put, stored, given, strict=True)
        return " or ".join(_differ(column, before, after) for column, before, after in pairs) or "false"


def _differ(column: Column, stored: str, given: str) -> str:
    """Compare two values of a column: texts by their bytes, so that a change of case is one."""
    if column.equality is None:
        return f"{_BYTES.format(stored)} is distinct from {_BYTES.format(given)}"
    given += f" collate {column.collation}" if column.collation else ""
    if column.equality == "=":
        return f"{stored} is distinct from {given}"
    # IS DISTINCT FROM would look for an operator called = by search_path.
    equal = f"{stored} {column.equality} {given}"
    return f"not coalesce({equal}, {stored} is null and {given} is null)"
