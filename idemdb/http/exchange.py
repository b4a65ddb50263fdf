"""One request with a key, from the claim to the answer, as a generator: adapters drive it.

It yields ``ASK`` (open a connection, claim, let the application work where that is granted, commit, give the
connection back; the answer is the Outcome, or what went wrong is thrown in) and ``Pause`` (wait, without a
connection). It returns the Reply to send, or None: then the application's own answer goes out as it is.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

from idemdb.calls import keys
from idemdb.errors import (
    AnswerExpired,
    ClaimLost,
    KeyInProgress,
    ParameterMismatch,
    Unresolved,
    is_transient,
)
from idemdb.fingerprint import Fingerprint
from idemdb.http.answers import NotStored, Reply, replay
from idemdb.http.policy import Policy
from idemdb.http.problems import problem
from idemdb.results import Claim, Outcome
from idemdb.statement import Call


class Pause(NamedTuple):
    """Wait so many seconds; hold no connection meanwhile."""

    seconds: float


class Ask(NamedTuple):
    """Claim, and do what that gives."""


ASK: Final = Ask()
Exchange = Generator[Ask | Pause, Any, Reply | None]

# Between two questions of a waiter; the first is soon, for most requests are short.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
# For a client that has to come back, where the database does not know better.
_COME_BACK = 1.0


@dataclass(frozen=True)
class Keyed:
    """A request that has a key and a scope: all that the exchange needs to know of it."""

    policy: Policy
    scope: str
    key: str = field(repr=False)
    fingerprint: Fingerprint = field(repr=False)
    path: str

    def claim(self) -> Call[Claim]:
        """Build the claim. It never waits in the database: that would keep the connection busy."""
        policy = self.policy
        settings = keys.options(policy.replay_for, policy.keep_for, policy.abandoned)
        return keys.claim(self.scope, self.key, self.fingerprint, self.lease, 0.0, settings)

    @property
    def lease(self) -> Any:
        """Return the lease of the claim; None for a transactional one."""
        return self.policy.lease if self.policy.leased else None

    def problem(self, code: str, **about: Any) -> Reply:
        """Return a problem as the answer to this request."""
        return problem(code, self.policy, self.path, **about)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What an observer is told of a request with a key, at its end: no key, no body.

    :param outcome: of the claim, else the problem's code, or 'not-stored'.
    :param status: of the answer.
    :param attempt: the claim's, where it was granted or replayed.
    :param questions: how often the database was asked.
    :param waited: seconds spent between questions.
    :param seconds: from the first question to the decision.
    """

    method: str
    route: str
    mode: str
    outcome: str
    status: int
    attempt: int | None
    questions: int
    waited: float
    seconds: float


class Progress:
    """What is counted while an exchange goes on, for the observer."""

    def __init__(self) -> None:
        """Begin."""
        self.started = monotonic()
        self.outcome = "failed"
        self.attempt: int | None = None
        self.questions = 0
        self.waited = 0.0

    def note(self, outcome: str, claim: Claim | None = None) -> None:
        """Remember what was decided."""
        self.outcome = outcome
        self.attempt = None if claim is None else claim.attempt


class Waiters:
    """The requests of one process that wait for others: so many, and no more."""

    def __init__(self, most: int) -> None:
        """Allow so many at a time."""
        self._most = most
        self._count = 0
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Say whether there is room for one more, and count it then."""
        with self._lock:
            if self._count >= self._most:
                return False
            self._count += 1
            return True

    def leave(self) -> None:
        """Make room."""
        with self._lock:
            self._count -= 1


class _Wait:
    """The waiting of one request for the holder of its key."""

    def __init__(self, seconds: float, waiters: Waiters) -> None:
        """Prepare to wait so many seconds in all."""
        self._deadline = monotonic() + seconds
        self._next = _FIRST_PAUSE
        self._waiters = waiters
        self._entered = False

    def pause(self) -> Pause | None:
        """Return how long to wait before the next question; None when waiting is over."""
        left = self._deadline - monotonic()
        if left <= 0 or not (self._entered or self._waiters.enter()):
            return None
        self._entered = True
        seconds = min(left, self._next * random.uniform(0.6, 1.0))  # noqa: S311 - only to part the waiters
        self._next = min(self._next * 1.6, _LONGEST_PAUSE)
        return Pause(seconds)

    def end(self) -> None:
        """Stop waiting."""
        if self._entered:
            self._waiters.leave()
            self._entered = False


def exchange(keyed: Keyed, waiters: Waiters, progress: Progress) -> Exchange:
    """Claim, wait, repeat what may be repeated; see the module."""
    wait = _Wait(keyed.policy.wait, waiters)
    conflicts = 0
    try:
        while True:
            progress.questions += 1
            try:
                outcome = yield ASK
            except KeyInProgress as busy:
                progress.note("in-progress")
                pause = wait.pause()
                if pause is None:
                    return keyed.problem("in-progress", retry_after=busy.retry_after or _COME_BACK)
            except Exception as error:  # noqa: BLE001 - _refused raises what is not ours
                reply = _refused(keyed, error, progress)
                if reply is not None or isinstance(error, NotStored):
                    return reply
                conflicts += 1
                # Steps of a leased run may have called the outside: only the client may have it done again.
                if conflicts >= keyed.policy.attempts or keyed.policy.leased:
                    return keyed.problem("unavailable", retry_after=_COME_BACK)
                pause = Pause(_FIRST_PAUSE * 2**conflicts * random.random())  # noqa: S311 - see above
            else:
                return _settled(keyed, outcome, progress)
            progress.waited += pause.seconds
            yield pause
    finally:
        wait.end()


def _settled(keyed: Keyed, outcome: Outcome[Any], progress: Progress) -> Reply | None:
    """Return the answer to a request that was done now (None) or before."""
    progress.note(outcome.outcome, outcome.claim)
    if not outcome.replayed:
        return None
    stored = replay(outcome.claim)
    if stored is None:
        progress.note("result-expired", outcome.claim)
        return keyed.problem("result-expired", reference=outcome.claim.reference)
    return stored


def _refused(keyed: Keyed, error: Exception, progress: Progress) -> Reply | None:
    """Return the answer that an error stands for; None where it may be repeated, or was answered already.

    :raises Exception: the error, where it is not ours to answer.
    """
    if isinstance(error, NotStored):
        progress.note("not-stored")
        return None
    about: dict[str, Any] = {}
    if isinstance(error, AnswerExpired):
        code, about = "result-expired", {"reference": error.reference}
    elif isinstance(error, ParameterMismatch):
        code = "key-reused"
    elif isinstance(error, Unresolved):
        code = "unresolved"
    elif isinstance(error, ClaimLost) and keyed.policy.leased:
        code, about = "claim-lost", {"retry_after": error.retry_after or _COME_BACK}
    elif is_transient(error):
        progress.note("unavailable")
        return None
    else:
        progress.note("failed")
        raise error
    progress.note(code)
    return keyed.problem(code, **about)


Observer = Callable[[Exchanged], object]
