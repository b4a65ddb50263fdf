from __future__ import annotations

import enum
import json
import math
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idemdb import InvalidArgument
from idemdb.wire import error_text, interval, span, text, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def _representable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(char) < 0xE000 for char in value)
    if isinstance(value, dict):
        return all(_representable(name) and _representable(item) for name, item in value.items())
    return all(map(_representable, value)) if isinstance(value, list) else True


@given(JSON)
def test_json_is_what_the_standard_library_writes_or_refused(value: Any) -> None:
    if _representable(value):
        assert json.loads(to_json(value, "request")) == value
    else:
        with pytest.raises(InvalidArgument):
            to_json(value, "request")


class Colour(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), "[1,2]"),
        (Colour.RED, '"red"'),
        (Number.ONE, "1"),
        (True, "true"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+3"), "1E+3"),
        (1.0, "1.0"),
        ({"a": None, "ü": "\\u0000"}, '{"a":null,"ü":"\\\\u0000"}'),
    ],
)
def test_json_keeps_digits_and_takes_subclasses(value: Any, expected: str) -> None:
    assert to_json(value, "request") == expected


_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1E+131072"),
        Decimal("1E-16384"),
        "a\0b",
        "\ud800",
        {"a\0": 1},
        {"a": ["\udfff"]},
        {1: "one"},
        {None: 1},
        b"bytes",
        {1, 2},
        pytest.param(object(), id="object"),
        datetime(2026, 1, 1, tzinfo=UTC),
        uuid.UUID(int=1),
        pytest.param(10**5000, id="5001 digits"),
        pytest.param(_ITSELF, id="contains itself"),
    ],
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        to_json(value, "request")
    assert "request" in str(caught.value)
    assert caught.value.sqlstate == "ID004"


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 5, None, b"key"])
def test_text_that_postgresql_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="key"):
        text(value, "key")


@pytest.mark.parametrize("value", ["", "key", "ключ", "a\ud7ff\U0001f600"])
def test_other_text_goes_through(value: str) -> None:
    assert text(value, "key") is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (2, timedelta(seconds=2)),
        (0.5, timedelta(milliseconds=500)),
        (timedelta(1), timedelta(1)),
    ],
)
def test_intervals_are_seconds_or_timedelta(value: Any, expected: timedelta | None) -> None:
    assert interval(value, "lease") == expected


@pytest.mark.parametrize("value", ["2", True, math.nan, math.inf, 1e300, Decimal(1)])
def test_other_intervals_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="lease"):
        interval(value, "lease")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("24 hours", "24 hours"),
        (90, "0 days 90.000000 seconds"),
        (timedelta(days=2, microseconds=5), "2 days 0.000005 seconds"),
    ],
)
def test_spans_are_text_too(value: Any, expected: str | None) -> None:
    assert span(value, "keep_for") == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), "ValueError"),
        (ValueError("bad\nDETAIL:  Key (email)=(a@x) exists"), "ValueError: bad"),
        (ValueError("a\0b\ud800"), "ValueError: a\\0b\\ud800"),
    ],
)
def test_error_text_is_one_storable_line(error: Exception, expected: str) -> None:
    assert error_text(error) == expected


def test_error_text_is_bounded() -> None:
    assert len(error_text(ValueError("x" * 10_000))) == 500
