"""Digests: of a request, to tell an honest repeat from another request, and keys for other services."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from idemdb.errors import InvalidArgument
from idemdb.wire import to_json

# The namespace of the keys that are sent to other services. It must never change.
KEY_NAMESPACE = uuid.UUID("5f0a7c39-6a0e-5d1c-9b0b-1de31de31db0")


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


def stable_key(*parts: str) -> str:
    r"""Return a key to send to another service: the same for the same parts, for ever.

    It is the UUIDv5, in the namespace ``5f0a7c39-6a0e-5d1c-9b0b-1de31de31db0``, of the parts as a JSON array
    of texts: no spaces, nothing but ``"``, ``\`` and control characters escaped.
    """
    return str(uuid.uuid5(KEY_NAMESPACE, json.dumps(parts, ensure_ascii=False, separators=(",", ":"))))
