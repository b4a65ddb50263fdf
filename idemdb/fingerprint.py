"""The digest of a request, which tells an honest repeat from another request under the same key."""

from __future__ import annotations

import hashlib
from typing import Any

from idemdb.errors import InvalidArgument
from idemdb.wire import to_json


class Fingerprint(bytes):
    """A ready digest, given as ``request=Fingerprint(b)`` where the request itself is not at hand."""

    __slots__ = ()


NOTHING = Fingerprint()


def digest(request: Any) -> Fingerprint | None:
    """Return the fingerprint made in Python, or None for a JSON-like value: PostgreSQL makes that one.

    :param request: None (no parameters, the empty digest), bytes (their SHA-256), or a Fingerprint (as it
        is).
    """
    if request is None:
        return NOTHING
    if isinstance(request, Fingerprint):
        return request
    if isinstance(request, bytes | bytearray | memoryview):
        return Fingerprint(hashlib.sha256(request).digest())
    return None


def argument(request: Any) -> tuple[bool, bytes | str]:
    """Return whether PostgreSQL is to make the fingerprint, and the parameter: JSON text or the digest."""
    made = digest(request)
    # bytes, because drivers adapt by the exact class.
    return (True, to_json(request, "request")) if made is None else (False, bytes(made))


def json_like(request: Any) -> str:
    """Return a JSON-like request as JSON text, for ``idemdb.fingerprint``."""
    if isinstance(request, bytes | bytearray | memoryview):
        raise InvalidArgument("request must be JSON-like: the fingerprint of bytes is their SHA-256")
    return to_json(request, "request")
