"""Read a file of payment requests: one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_REQUIRED: Final = ("scope", "key", "amount", "currency")
_OPTIONAL: Final = ("note",)
_MOST_OCTETS: Final = 255
_MOST_MONEY: Final = 10**15
_REPORTED: Final = 10


class InputError(ValueError):
    """The file of payment requests cannot be used; the message names lines and what is wrong with each."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """One click on "Pay".

    :param number: its line in the file, from 1.
    :param scope: user and operation.
    :param key: the idempotency key: clicks with an equal scope and key are one payment.
    :param amount: in hundredths of the currency: cents.
    :param currency: three capital letters.
    """

    number: int
    scope: str
    key: str
    amount: int
    currency: str

    @property
    def payment(self) -> tuple[str, str]:
        """Return what makes it a repeat of another one."""
        return self.scope, self.key


def read(path: Path) -> list[PaymentRequest]:
    """Read all requests of a file, in its order; empty lines are skipped.

    :param path: of the file, in UTF-8.
    :raises InputError: for a file that cannot be read, has no request, or has a line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at octet {error.start + 1}") from error
    requests: list[PaymentRequest] = []
    mistakes: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            requests.append(_request(number, line))
        except InputError as error:
            mistakes.append(f"{path}, line {number}: {error}")
    if mistakes:
        more = len(mistakes) - _REPORTED
        raise InputError("\n".join(mistakes[:_REPORTED] + ([f"… and {more} more"] if more > 0 else [])))
    if not requests:
        raise InputError(f"{path}: no payment request in it")
    return requests


def _request(number: int, line: str) -> PaymentRequest:
    """Return the request of one line."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON that can be read: a number too long, or nested too deep") from error
    if not isinstance(data, dict):
        raise InputError("not a JSON object")
    mistakes = list(_mistakes(data))
    if mistakes:
        raise InputError("; ".join(mistakes))
    return PaymentRequest(number, *(data[name] for name in _REQUIRED))


def _mistakes(data: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong with the members of a line."""
    for name in data:
        if name not in _REQUIRED + _OPTIONAL:
            yield f"unknown member {json.dumps(name)} (there are {', '.join(_REQUIRED + _OPTIONAL)})"
    for name in _REQUIRED:
        if name not in data:
            yield f"{name} is missing"
    for name in ("scope", "key"):
        if name in data and not _names(data[name]):
            yield f"{name} must be printable text of 1 to {_MOST_OCTETS} octets"
    amount = data.get("amount", 1)
    if type(amount) is not int or not 1 <= amount <= _MOST_MONEY:
        yield f"amount must be a whole number of cents, from 1 to {_MOST_MONEY}"
    currency = data.get("currency", "EUR")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        yield "currency must be three capital letters, such as EUR"
    if not isinstance(data.get("note", ""), str):
        yield "note must be text"


def _names(value: Any) -> bool:
    """Say whether a value can be a scope or a key."""
    # Control characters would drive the terminal; halves of surrogate pairs are not printable either.
    return isinstance(value, str) and value.isprintable() and 1 <= len(value.encode()) <= _MOST_OCTETS
