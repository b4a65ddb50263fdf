"""Answers: what of them is stored, and what a repeat is given."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from idemdb.errors import Answer
from idemdb.http.policy import Policy
from idemdb.http.protocol import REPLAYED
from idemdb.results import Claim

Headers = tuple[tuple[bytes, bytes], ...]

# In ``result`` of an answer whose body was not stored.
OMITTED = {"body": "omitted"}
_STREAMS = (b"text/event-stream",)
_BODILESS = frozenset({204, 205, 304})


@dataclass(frozen=True)
class Reply:
    """A whole answer, ready to be sent.

    :param headers: names in lower case.
    """

    status: int
    headers: Headers
    body: bytes = b""

    @property
    def line(self) -> str:
        """Return status and phrase, as WSGI wants them."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"


@dataclass(frozen=True)
class Collected:
    """What an application has answered so far.

    :param body: all of it, or its beginning.
    :param omitted: too large, or a stream: the body is not to be stored.
    :param more: the application has not sent all of it yet.
    """

    status: int
    headers: Headers
    body: bytes
    omitted: bool = False
    more: bool = False


class NotStored(Exception):
    """The answer goes to the client, and nothing of it stays."""

    def __init__(self, collected: Collected) -> None:
        """Hold the answer."""
        super().__init__(collected.status)
        self.collected = collected


class BrokenOff(Exception):
    """The application ended before its answer did."""


def is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether headers announce an answer that has no end of its own."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(_STREAMS) for name, value in headers
    )


def check_whole(collected: Collected) -> None:
    """Refuse a body that is not as long as it says: it broke off.

    :raises BrokenOff: then.
    """
    if collected.more or collected.status in _BODILESS:
        return
    said = [value for name, value in collected.headers if name.lower() == b"content-length"]
    if said and said[0].strip() != str(len(collected.body)).encode():
        raise BrokenOff("the body is not as long as Content-Length says")


def conclude(policy: Policy, collected: Collected, reference: str | None = None) -> tuple[Answer, bool]:
    """Return what to store of an answer, and whether the handler's writes stay.

    :param reference: as the handler gave it; else the header Location.
    :raises NotStored: where nothing is to be remembered.
    """
    if not policy.stores(collected.status):
        raise NotStored(collected)
    answer = Answer(
        status=collected.status,
        headers=_stored(policy, collected.headers),
        body=None if collected.omitted else collected.body,
        result=OMITTED if collected.omitted else None,
        reference=_location(collected.headers) if reference is None else reference,
    )
    return answer, policy.keeps(collected.status)


def replay(claim: Claim) -> Reply | None:
    """Return the stored answer; None where its body, or all of it, was not stored."""
    body, stored = claim.body, claim.headers or []
    headers = [
        (str(name), str(value)) for name, value in (stored.items() if isinstance(stored, dict) else stored)
    ]
    if body is None:
        if claim.result is None or claim.result == OMITTED:
            return None
        # Not from here: somebody who resolved the key has said what the answer is.
        body = json.dumps(claim.result).encode()
        headers = [pair for pair in headers if pair[0].lower() != "content-type"]
        headers.append(("content-type", "application/json"))
    status = claim.status or 200
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if status not in _BODILESS:
        encoded.append((b"content-length", str(len(body)).encode()))
    encoded.append((REPLAYED.lower().encode(), b"true"))
    return Reply(status, tuple(encoded), body)


def _stored(policy: Policy, headers: Headers) -> list[list[str]]:
    """Return the headers to store, all values of each, in their order."""
    named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return [[name, value] for name, value in named if policy.stored_header(name)]


def _location(headers: Headers) -> str | None:
    """Return the header Location: where what was made is found."""
    found = [value.decode("latin-1") for name, value in headers if name.lower() == b"location"]
    return found[0] if found else None
