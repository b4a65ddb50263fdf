"""Check and encode what goes to PostgreSQL: text, JSON, intervals. SQL checks the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from idemdb.errors import InvalidArgument

Seconds = float | timedelta
Span = float | timedelta | str

# jsonb's numbers end here: digits before and after the decimal point.
_DIGITS_BEFORE, _DIGITS_AFTER = 131072, 16383


def text(value: str, name: str) -> str:
    """Return a text that PostgreSQL can hold as it is.

    :raises InvalidArgument: when it is no text, has a NUL, or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"{name} must be text, not {type(value).__name__}")
    if "\0" in value:
        raise InvalidArgument(f"{name} contains a NUL character, which PostgreSQL cannot hold")
    if not value.isascii():
        _utf8(value, name)
    return value


def optional_text(value: str | None, name: str) -> str | None:
    """Return None, or a text that PostgreSQL can hold as it is."""
    return None if value is None else text(value, name)


def texts(values: Iterable[str], name: str) -> list[str]:
    """Return texts that PostgreSQL can hold as they are."""
    if isinstance(values, str):
        raise InvalidArgument(f"{name} must be several texts, not one")
    return [text(value, name) for value in values]


def instant(value: datetime | None, name: str) -> datetime | None:
    """Return None, or a time that is the same for everybody.

    :raises InvalidArgument: for a time without a time zone: drivers and sessions would read it differently.
    """
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidArgument(f"{name} must be a datetime with a time zone")
    return value


def error_text(error: BaseException) -> str:
    """Return one line that says what went wrong, without the details of drivers: they show values of rows."""
    lines = str(error).splitlines()
    line = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return line.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500]


def interval(value: Seconds | None, name: str) -> timedelta | None:
    """Return seconds, or a timedelta, as a timedelta."""
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{name} must be seconds or a timedelta, not {type(value).__name__}")
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError) as error:
        raise InvalidArgument(f"{name} is not a usable number of seconds: {value}") from error


def span(value: Span | None, name: str) -> str | None:
    """Return seconds, a timedelta or PostgreSQL's notation ('30 days') as the text of an interval."""
    if isinstance(value, str):
        return text(value, name)
    delta = interval(value, name)
    return None if delta is None else f"{delta.days} days {delta.seconds}.{delta.microseconds:06} seconds"


def to_json(value: Any, name: str) -> str:
    """Return a JSON-like value as JSON text.

    :param value: None, bool, int, float, Decimal (keeps its digits), str, and lists, tuples and mappings of
        these.
    :param name: of the argument, for the message.
    :raises InvalidArgument: for everything else, NaN and infinity, NUL and lone surrogates.
    """
    try:
        encoded = _encode(value)
    except RecursionError as error:
        raise InvalidArgument(f"{name} is nested too deeply, or contains itself") from error
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{name} is not JSON: {error}") from error
    if not encoded.isascii():
        _utf8(encoded, name)
    return encoded


def optional_json(value: Any, name: str) -> str | None:
    """Return None (NULL in SQL), or a JSON-like value as JSON text."""
    return None if value is None else to_json(value, name)


def from_json(value: str | None) -> Any:
    """Return the value of JSON text, None for NULL."""
    return None if value is None else json.loads(value)


def _utf8(value: str, name: str) -> None:
    """Refuse a text with a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{name} contains a lone surrogate, which UTF-8 cannot hold") from error


def _encode(value: Any) -> str:
    """Return a value as JSON text. json.dumps would take NaN and names that are no text, but no Decimal."""
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _finite(value, float.__repr__(value), within=math.isfinite(value))
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{_name(name)}:{_encode(item)}" for name, item in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_encode(item) for item in value]) + "]"
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        within = (
            isinstance(exponent, int) and -exponent <= _DIGITS_AFTER and value.adjusted() < _DIGITS_BEFORE
        )
        return _finite(value, str(value), within=within)
    raise TypeError(f"convert the {type(value).__name__} to text or a number first")


def _string(value: str) -> str:
    """Return a text as JSON text."""
    if "\0" in value:
        raise ValueError("a text contains a NUL character, which PostgreSQL cannot hold")
    return encode_basestring(value)


def _name(value: object) -> str:
    """Return the name of a member as JSON text."""
    if not isinstance(value, str):
        raise TypeError(f"names of members must be text, not {type(value).__name__}")
    return _string(value)


def _finite(value: float | Decimal, encoded: str, *, within: bool) -> str:
    """Return the text of a number that jsonb can hold."""
    if not within:
        raise ValueError(f"{value} is not a number that JSON, or PostgreSQL's jsonb, can hold")
    return encoded
