"""SQL text and calls: what is sent to PostgreSQL, before any driver is chosen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, TypeVar

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]

_PLACEHOLDER = re.compile(r"\$(\d+)")


class Statement:
    """A constant SQL text with the parameters $1, $2, …, each written once and in this order."""

    __slots__ = ("dollar", "format", "name")

    def __init__(self, name: str, sql: LiteralString) -> None:
        """Render the text for each style of parameters, once.

        :param name: of the SQL function that it calls.
        :param sql: the text; it must not contain a percent sign.
        """
        numbers = [int(number) for number in _PLACEHOLDER.findall(sql)]
        if numbers != list(range(1, len(numbers) + 1)) or "%" in sql:
            raise ValueError(f"the parameters of the statement must be $1, $2, … in this order: {sql}")
        self.name = name
        self.dollar = sql
        self.format: LiteralString = _PLACEHOLDER.sub("%s", sql)


class Composed(Statement):
    """A SQL text that was put together for a table, with a NUL character for each parameter."""

    __slots__ = ()

    def __init__(self, name: str, sql: str) -> None:
        """Render the text for each style of parameters, once; a text of PostgreSQL cannot have a NUL.

        :param name: of what the statement belongs to.
        :param sql: the text; it may contain dollar and percent signs.
        """
        parts = sql.split("\0")
        numbered = (f"${number}{part}" for number, part in enumerate(parts[1:], 1))
        self.name = name
        self.dollar = parts[0] + "".join(numbered)
        self.format = sql.replace("%", "%%").replace("\0", "%s")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One round trip: a statement, its parameters, and how to read its rows.

    ``bound`` says that outside a transaction the call would lose its meaning at once.
    """

    sql: Statement
    params: tuple[Any, ...]
    decode: Callable[[Rows], T]
    scope: str | None = None
    key: str | None = None
    bound: bool = False


def scalar(rows: Rows) -> Any:
    """Return the only column of the only row."""
    return rows[0][0]
