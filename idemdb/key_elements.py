"""Read how the columns of a natural key are written: each template gives the elements of the index."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from idemdb.errors import InvalidArgument

Template = Literal[
    "plain",
    "tenant-scoped",
    "case-insensitive",
    "soft-delete",
    "one-active",
    "nulls-not-distinct",
    "digest",
    "json-path",
    "time-window",
]
TEMPLATES: tuple[Template, ...] = get_args(Template)

# PostgreSQL cuts longer names silently, and then finds nothing under the whole one.
MAX_NAME = 63
# A Monday, so that weeks begin on Mondays. With its offset it means the same in every session's time zone.
_ORIGIN = "2001-01-01 00:00+00"
_WINDOW = re.compile(r"(.+?)\s*/\s*(\d+)\s*(second|minute|hour|day|week)s?", re.DOTALL)
_ARROW = re.compile(r"->>?")
_BYTES = re.compile(r"(.+?)\s*:\s*bytea", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the unique index.

    :param column: the table's column that it reads.
    :param sql: what the index holds: the quoted column, or an expression without the parentheses around it.
    :param written: how the developer wrote it.
    :param label: its part of the default name.
    """

    column: str
    sql: str
    written: str
    label: str

    @property
    def is_column(self) -> bool:
        """Say whether the element is the column itself."""
        return self.sql == quote_name(self.column)

    @property
    def indexed(self) -> str:
        """Return the element as it stands in an index and in a conflict target."""
        return self.sql if self.is_column else f"({self.sql})"


def read(template: str, written: Sequence[str]) -> tuple[Template, tuple[Element, ...]]:
    """Return the elements of the index.

    :param template: one of `TEMPLATES`.
    :param written: the columns as the developer wrote them.
    :raises InvalidArgument: with a hint, when the template cannot read them.
    """
    for known, parser in _PARSERS.items():
        if known == template:
            return known, tuple(parser(written))
    raise InvalidArgument(
        f"there is no template {template!r}", hint=f"the templates are {', '.join(TEMPLATES)}"
    )


def quote_name(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as SQL, whatever ``standard_conforming_strings`` says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def check_name(name: str, what: str) -> None:
    """Refuse what cannot be a name in PostgreSQL.

    :param what: that the name is of, for the message.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidArgument(
            f"{name!r} is no name of a {what}", hint="give the name as the catalogue has it"
        )
    if len(name.encode()) > MAX_NAME:
        raise InvalidArgument(
            f"the {what} {name} is longer than {MAX_NAME} bytes", hint="PostgreSQL has no such names"
        )


def _plain(written: str) -> Element:
    check_name(written, "column")
    return Element(written, quote_name(written), written, written)


def _plain_columns(written: Sequence[str]) -> list[Element]:
    return [_plain(column) for column in written]


def _tenant_scoped(written: Sequence[str]) -> list[Element]:
    if len(written) < 2:
        raise InvalidArgument(
            "template tenant-scoped needs the tenant's column and one more",
            hint="name the tenant's column first, or take template plain",
        )
    return _plain_columns(written)


def _case_insensitive(written: Sequence[str]) -> list[Element]:
    *others, last = _plain_columns(written)
    return [*others, Element(last.column, f"lower({last.sql})", last.written, last.label)]


def _digest(written: Sequence[str]) -> list[Element]:
    *others, last = written
    found = _BYTES.fullmatch(last)
    payload = _plain(found[1] if found else last)
    if found:
        sql = f"sha256({payload.sql})"
    else:
        # convert_to() is not immutable. A text with its backslashes doubled casts to exactly its own bytes.
        sql = rf"sha256(replace({payload.sql}::text, E'\\', E'\\\\')::bytea)"
    return [*_plain_columns(others), Element(payload.column, sql, last, payload.label)]


def _json_path(written: Sequence[str]) -> list[Element]:
    if not any("->" in column for column in written):
        raise InvalidArgument(
            "template json-path needs a column with a path",
            hint="write payload->id, or payload->customer->id for a deeper one",
        )
    return [_path(column) if "->" in column else _plain(column) for column in written]


def _path(written: str) -> Element:
    column, *steps = [_unquoted(step) for step in _ARROW.split(written)]
    check_name(column, "column")
    if not all(steps):
        raise InvalidArgument(
            f"the path {written!r} has an empty step", hint="write payload->id or payload->customer->id"
        )
    if len(steps) == 1 and not steps[0].lstrip("-").isdigit():
        sql = f"{quote_name(column)} ->> {quote_literal(steps[0])}"
    else:
        quoted = (re.sub(r'(["\\])', r"\\\1", step) for step in steps)
        path = ",".join(f'"{step}"' for step in quoted)
        sql = f"{quote_name(column)} #>> {quote_literal('{' + path + '}')}"
    return Element(column, sql, written, "_".join((column, *steps)))


def _unquoted(step: str) -> str:
    step = step.strip()
    quoted = len(step) > 2 and step[0] == step[-1] == "'"
    return step[1:-1] if quoted else step


def _time_window(written: Sequence[str]) -> list[Element]:
    parts = [_window(column) for column in written]
    if all(part.is_column for part in parts):
        raise InvalidArgument(
            "template time-window needs a column with a window",
            hint="write created_at/5 minutes; units are second, minute, hour, day and week",
        )
    if not any(part.is_column for part in parts):
        raise InvalidArgument(
            "template time-window needs the key's own column beside the window",
            hint="name first what may occur only once in a window, such as customer_id",
        )
    return parts


def _window(written: str) -> Element:
    found = _WINDOW.fullmatch(written.strip())
    if found is None:
        if "/" in written:
            raise InvalidArgument(
                f"the window of {written!r} is not valid",
                hint="write created_at/5 minutes; units are second, minute, hour, day and week",
            )
        return _plain(written)
    column, count, unit = found[1], int(found[2]), found[3]
    check_name(column, "column")
    if not 0 < count < 10_000_000:
        raise InvalidArgument(
            f"the window of {written!r} is empty or too long", hint="write it in minutes or days"
        )
    # Both literals take the column's type, timestamp or timestamptz, and are immutable in both.
    sql = f"date_bin('{count} {unit}', {quote_name(column)}, '{_ORIGIN}')"
    return Element(column, sql, written, column)


_PARSERS: dict[Template, Callable[[Sequence[str]], list[Element]]] = {
    "plain": _plain_columns,
    "tenant-scoped": _tenant_scoped,
    "case-insensitive": _case_insensitive,
    "soft-delete": _plain_columns,
    "one-active": _plain_columns,
    "nulls-not-distinct": _plain_columns,
    "digest": _digest,
    "json-path": _json_path,
    "time-window": _time_window,
}
