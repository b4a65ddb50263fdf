"""What adapters share: the settings of a middleware, and what is decided before a key is claimed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypedDict, Unpack

from idemdb.drivers.base import Observer as OutcomeObserver
from idemdb.errors import InvalidArgument
from idemdb.http.answers import Reply
from idemdb.http.exchange import Exchanged, Keyed, Observer, Progress, Waiters
from idemdb.http.policy import EXEMPT, Matched, Policy
from idemdb.http.problems import problem
from idemdb.http.protocol import SAFE_METHODS, fingerprint, parse_key, scope_of

_log = logging.getLogger("idemdb")

NO_SCOPE = (
    "a request with a key was answered with success, but scope() did not say who sent it; its writes are"
    " rolled back: let scope() name every caller whom the application serves, or set anonymous_scope"
)


@dataclass(frozen=True)
class Admission:
    """What a request's method, route and header say.

    :param policy: of the route.
    :param key: None where there is none, or it says nothing.
    :param refusal: the answer, where the application is not to be asked.
    """

    policy: Policy
    key: str | None = None
    refusal: Reply | None = None


class Settings(TypedDict, total=False):
    """The settings of every middleware; see Rules."""

    scope: Callable[[Any], Any] | None
    anonymous_scope: str | None
    default: Policy | None
    policies: Mapping[str, Policy | None] | None
    max_waiters: int
    observer: Observer | None
    on_outcome: OutcomeObserver | None


class Rules:
    """The settings of a middleware, and what follows from them for a request."""

    def __init__(self, source: Any, **settings: Unpack[Settings]) -> None:
        """Check and keep the settings.

        :param source: lends connections: a sessionmaker or engine of SQLAlchemy, a pool, or a function that
            opens one. The handler is given what it lends.
        :param scope: says who sent a request: a user or tenant that the server has authenticated, as text;
            None for nobody. Never what the body or the client's address says.
        :param anonymous_scope: stands for nobody. Keys of all such callers share it, and so do answers.
        :param default: the policy of routes that have none of their own.
        :param policies: of routes, by template or by method and template ('POST /orders'); None leaves alone.
        :param max_waiters: so many requests of a process at most wait for another one with their key (100).
        :param observer: told of each request with a key at its end, with an Exchanged.
        :param on_outcome: as for ``Idem``.
        :raises InvalidArgument: without scope and anonymous_scope: strangers would get each other's answers.
        """
        if unknown := set(settings) - set(Settings.__annotations__):
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        scope, anonymous_scope = settings.get("scope"), settings.get("anonymous_scope")
        if scope is None and anonymous_scope is None:
            raise InvalidArgument(
                "the middleware needs scope, a function that says who sent a request",
                hint="or anonymous_scope, where all callers may see each other's answers",
            )
        if anonymous_scope == "":
            raise InvalidArgument("anonymous_scope must not be empty")
        self.source = source
        self.scope = scope
        self.anonymous_scope = anonymous_scope
        self.default = settings.get("default") or Policy()
        self.policies = {name: policy or EXEMPT for name, policy in (settings.get("policies") or {}).items()}
        self.waiters = Waiters(settings.get("max_waiters", 100))
        self.on_outcome = settings.get("on_outcome")
        self._observer = settings.get("observer")

    def policy(self, method: str, route: Matched) -> Policy:
        """Return the policy of a route."""
        for name in (f"{method} {route.template}", route.template):
            if name in self.policies:
                return self.policies[name]
        return route.policy or self.default

    def admit(
        self, method: str, route: Matched, path: str, lines: Callable[[str], Sequence[str | bytes]]
    ) -> Admission:
        """Decide what can be decided before anything is read or claimed.

        :param path: of the request.
        :param lines: returns the values of all header lines of a name.
        """
        policy = self.policy(method, route)
        if method in SAFE_METHODS or policy is EXEMPT:
            return Admission(policy)
        try:
            key = parse_key(lines(policy.header))
        except ValueError as error:
            return Admission(policy, refusal=problem("key-invalid", policy, path, what=str(error)))
        if key is None and policy.required:
            return Admission(policy, refusal=problem("key-missing", policy, path))
        return Admission(policy, key)

    def principal(self, said: Any) -> str | None:
        """Return who sent a request, from what ``scope`` said; None for nobody."""
        if said is None or said == "":
            return self.anonymous_scope
        if not isinstance(said, str):
            raise InvalidArgument(f"scope must return text or None, not {type(said).__name__}")
        return said

    def keyed(
        self,
        admission: Admission,
        principal: str,
        method: str,
        route: Matched,
        path: str,
        raw_path: bytes,
        query: bytes,
        content_type: str | None,
        body: bytes,
    ) -> Keyed:
        """Return a request with a key, ready for the exchange."""
        assert admission.key is not None, "only requests with a key are claimed"
        return Keyed(
            admission.policy,
            scope_of(principal, method, route.template),
            admission.key,
            fingerprint(method, raw_path, query, content_type, body),
            path,
        )

    def report(self, method: str, route: Matched, keyed: Keyed, progress: Progress, status: int) -> None:
        """Tell the observer. Its failures are logged: metrics must not break a payment."""
        if self._observer is None:
            return
        told = Exchanged(
            method,
            route.template,
            keyed.policy.mode,
            progress.outcome,
            status,
            progress.attempt,
            progress.questions,
            progress.waited,
            monotonic() - progress.started,
        )
        try:
            self._observer(told)
        except Exception:  # noqa: BLE001 - whatever it is
            _log.exception("observer failed")
