"""What a route wants: ``Policy``, and how a route says so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from idemdb.errors import InvalidArgument
from idemdb.http.protocol import HEADER
from idemdb.wire import Seconds, Span, interval

F = TypeVar("F", bound=Callable[..., Any])

# Refused before anything was done: the same request may do better later, so these are not remembered.
NOT_STORED = frozenset({401, 403, 404, 405, 413, 415, 422, 429, 503})

STORED_HEADERS = frozenset(
    {
        *("content-type", "content-language", "content-encoding", "content-disposition"),
        *("location", "etag", "link"),
    }
)
# Of this connection, of this moment, or of this person.
NEVER_STORED = frozenset(
    {
        *("set-cookie", "set-cookie2", "authorization", "www-authenticate", "authentication-info"),
        *("proxy-authenticate", "proxy-authorization", "proxy-authentication-info", "connection"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"),
        *("date", "content-length", "idempotent-replayed", "retry-after"),
    }
)
# The problems whose status a policy may change.
CODES = (
    "key-missing",
    "key-invalid",
    "key-reused",
    "in-progress",
    "claim-lost",
    "result-expired",
    "unresolved",
)


class Matched(NamedTuple):
    """A route that a request has matched: its template, and the policy that it declares, if any."""

    template: str
    policy: Policy | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a route is made idempotent.

    :param required: a request without a key is refused.
    :param mode: 'transactional' (claim, the handler's writes and the answer commit together) or 'leased' (the
        handler calls the outside world, in steps).
    :param lease: of a leased claim, renewed while the handler works: seconds or a timedelta.
    :param abandoned: what an expired lease means: 'retry', or 'hold' until a person resolves it.
    :param reconcile: as for ``Idem.run``; leased only.
    :param wait: for how long a repeat waits for the first request, in seconds, before it is told to come
        back.
    :param replay_for: for how long the answer is kept: seconds, a timedelta or text such as '24 hours'.
    :param keep_for: for how long the key is remembered.
    :param cap: the largest body that is stored, in bytes.
    :param stream: the answer is a stream from its beginning; its body is never stored.
    :param headers: names of further headers to store.
    :param store: further statuses to store, of those that are not.
    :param skip: further statuses not to store.
    :param keep_writes: statuses of 400 and above with which the handler's writes stay.
    :param statuses: other statuses for problems, by code, such as ``{"key-reused": 409}``.
    :param attempts: how often a transaction is done that ends in a conflict or a deadlock.
    :param header: the name of the header with the key.
    """

    required: bool = False
    mode: Literal["transactional", "leased"] = "transactional"
    lease: Seconds = 30.0
    abandoned: Literal["retry", "hold"] | None = None
    reconcile: Callable[..., Any] | None = None
    wait: float = 2.0
    replay_for: Span | None = None
    keep_for: Span | None = None
    cap: int = 2**20
    stream: bool = False
    headers: Collection[str] = ()
    store: Collection[int] = ()
    skip: Collection[int] = ()
    keep_writes: Collection[int] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 3
    header: str = HEADER

    def __post_init__(self) -> None:
        """Refuse what cannot work, when the service starts and not with its first request."""
        if self.mode not in ("transactional", "leased"):
            raise InvalidArgument(f"mode must be transactional or leased, not {self.mode!r}")
        if self.mode == "transactional" and (self.abandoned or self.reconcile):
            raise InvalidArgument(
                "abandoned and reconcile are for mode='leased': other claims cannot outlive it"
            )
        lease = interval(self.lease, "lease")
        if lease is None or lease.total_seconds() <= 0:
            raise InvalidArgument("lease must be above zero")
        if self.wait < 0 or self.cap < 0 or self.attempts < 1:
            raise InvalidArgument("wait and cap must not be below zero, attempts not below one")
        if never := NEVER_STORED.intersection(name.lower() for name in self.headers):
            raise InvalidArgument(f"never stored: {', '.join(sorted(never))}")
        if unknown := set(self.statuses) - set(CODES):
            raise InvalidArgument(f"no such problem: {', '.join(sorted(unknown))}", hint=f"there are {CODES}")
        if both := set(self.store) & set(self.skip):
            raise InvalidArgument(f"both stored and skipped: {sorted(both)}")

    @property
    def leased(self) -> bool:
        """Say whether claims have a lease."""
        return self.mode == "leased"

    def stores(self, status: int) -> bool:
        """Say whether an answer of this status is stored."""
        if status in self.store:
            return True
        return status not in self.skip and status not in NOT_STORED and status < 500

    def keeps(self, status: int) -> bool:
        """Say whether the handler's writes stay with an answer of this status."""
        return status < 400 or status in self.keep_writes

    def stored_header(self, name: str) -> bool:
        """Say whether a header, its name in lower case, is stored with the answer."""
        return name in STORED_HEADERS or name in {given.lower() for given in self.headers}


# What exempt() puts in a policy's place.
EXEMPT = Policy(header="-")

_ATTRIBUTE = "__idemdb_policy__"


def idempotent(**settings: Any) -> Callable[[F], F]:
    """Give a route a policy of its own: a decorator of its endpoint, below that of the framework.

    :param settings: of ``Policy``.
    """
    policy = Policy(**settings)

    def declare(endpoint: F) -> F:
        setattr(endpoint, _ATTRIBUTE, policy)
        return endpoint

    return declare


def exempt(endpoint: F) -> F:
    """Leave a route alone: keys mean nothing to it; a decorator of its endpoint."""
    setattr(endpoint, _ATTRIBUTE, EXEMPT)
    return endpoint


def declared(endpoint: Any) -> Policy | None:
    """Return the policy that an endpoint was given, None where it has none of its own."""
    return getattr(endpoint, _ATTRIBUTE, None)
