"""``Idem``: idemdb over a synchronous connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, TypeVar, cast

from idemdb import flows
from idemdb.calls import keys
from idemdb.drivers import adapt
from idemdb.drivers.base import Driver, Observer
from idemdb.errors import Answer
from idemdb.fingerprint import Fingerprint
from idemdb.renewal import Renewal
from idemdb.results import Claim, KeyRecord, Outcome, SweepResult
from idemdb.sync_events import EventMethods
from idemdb.sync_rows import RowMethods
from idemdb.wire import Seconds, Span

T = TypeVar("T")

Abandoned = Literal["retry", "hold"]
Verdict = Answer | Literal["retry"] | None


class Op(flows.Work):
    """What a handler of ``Idem.run`` is given: its claim, and how to call the outside world."""

    def __init__(
        self,
        driver: Driver,
        connect: Any,
        scope: str,
        key: str,
        lease: Seconds | None,
        abandoned: str | None,
    ) -> None:
        """Made by ``Idem.run``."""
        super().__init__(driver.connection, scope, key, lease, hold=abandoned == "hold")
        self._driver = driver
        self._connect = connect
        self._renewal: Renewal | None = None

    @property
    def lost(self) -> bool:
        """Say whether the claim is known to have passed to another holder: then stop."""
        return self._lost or (self._renewal is not None and self._renewal.lost)

    def step(self, name: str, function: Callable[[], T]) -> T:
        """Call the outside world once: an answer that is remembered is returned, without calling again.

        :param name: of the step, unique in the run.
        :param function: makes the call; its answer must be JSON. Give the other side ``op.key_for(name)``.

        What the run has written so far commits with the answer. A crash between call and commit calls again.

        :raises ClaimLost: when another holder has taken over.
        :raises InvalidArgument: in a run without a lease.
        """
        return cast("T", self._driver.drive(flows.step(self, name, function)))

    def start(self) -> None:
        """See Work."""
        if self._connect is not None:
            self._renewal = Renewal(self._connect, *flows.renewal(self))
            self._renewal.start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End renewing the lease."""
        if self._renewal is not None:
            self._renewal.stop()


class Idem(EventMethods, RowMethods):
    """idemdb over the caller's connection, in the caller's transaction."""

    def __init__(self, connection: Any, *, connect: Any = None, on_outcome: Observer | None = None) -> None:
        """Use a connection; it stays the caller's and is never closed.

        :param connection: psycopg's Connection, SQLAlchemy's Connection or Session.
        :param connect: opens the connections that renew leases of ``run(lease=…)``: a function, an SQLAlchemy
            engine, or a pool of psycopg. Without it only steps and checkpoints renew.
        :param on_outcome: called with an OutcomeEvent after each answer with an outcome; what it raises is
            logged.
        """
        self._driver = adapt(connection, on_outcome)
        self._connect = connect

    def run(
        self,
        scope: str,
        key: str,
        handler: Callable[[Op], T | Answer],
        *,
        request: Any = None,
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        abandoned: Abandoned | None = None,
        reconcile: Callable[[KeyRecord], Verdict] | None = None,
    ) -> Outcome[T]:
        """Do the work once: claim the key, call ``handler(op)``, store its answer; or replay that of before.

        :param scope: tenant or user, and operation.
        :param key: the idempotency key.
        :param handler: does the work; its value must be JSON or bytes. ``raise Answer(…)`` rolls its writes
            back and stores that answer, ``return Answer(…)`` keeps them.
        :param request: what tells a repeat from another request: JSON-like, bytes, a Fingerprint, or nothing.
        :param lease: seconds or a timedelta. Without it everything happens in the caller's transaction (on a
            connection in autocommit mode, in one of its own). With it the claim and the answer commit by
            themselves, so that the handler may call the outside world in steps; the connection must be
            outside a transaction.
        :param wait: for how long to wait for a running holder, seconds or a timedelta (2 s).
        :param replay_for: for how long the answer is kept: seconds, a timedelta or text such as '24 hours'.
        :param keep_for: for how long the key is remembered.
        :param abandoned: what an expired lease means: 'retry', or 'hold' until a person resolves it.
        :param reconcile: asked, with the KeyRecord, what became of a held key whose holder vanished, for
            instance by looking at the other side. It returns an Answer (the work was done, this is replayed),
            'retry' (it was not done) or None (nobody knows). Calls ``resolve``, so the connection's role must
            be a member of idemdb_admin. Only with a lease.

        When the handler raises, its writes and the claim are taken back and the error is raised again:
        committing then leaves nothing behind. Under 'hold' an error that leaves ``op.step`` keeps the claim.

        :raises KeyInProgress, ParameterMismatch, AnswerExpired, Unresolved: where it can neither run nor
            replay.
        :raises ClaimLost: when another holder has taken over; everything of this run is rolled back.
        :raises InvalidArgument: also for an answer that is neither JSON nor bytes; nothing stays of the run.
        """
        ask = keys.claim(scope, key, request, lease, wait, keys.options(replay_for, keep_for, abandoned))
        with Op(self._driver, self._connect, scope, key, lease, abandoned) as op:
            return self._driver.drive(flows.run(op, ask, handler, reconcile))

    def claim(
        self,
        scope: str,
        key: str,
        *,
        request: Any = None,
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        abandoned: Abandoned | None = None,
        raise_: bool = False,
    ) -> Claim:
        """Claim a key, or get the answer of before; `idemdb.claim`.

        The parameters of ``run``, and:

        :param raise_: raise KeyInProgress and ParameterMismatch instead of answering with these outcomes.

        Without a lease the claim lives and dies with the transaction; a connection in autocommit mode is
        refused.

        :raises AlreadyClaimed: when this transaction has claimed the key and not completed it.
        """
        settings = keys.options(replay_for, keep_for, abandoned, raise_)
        return self._driver.call(keys.claim(scope, key, request, lease, wait, settings))

    def complete(
        self,
        scope: str,
        key: str,
        claim_token: int,
        *,
        status: int | None = None,
        headers: Any = None,
        body: bytes | None = None,
        result: Any = None,
        reference: str | None = None,
    ) -> datetime:
        """Store the answer and end the claim; return when; `idemdb.complete`.

        :param claim_token: of the claim.
        :param status: a number, such as an HTTP status.
        :param headers: JSON.
        :param body: replayed byte for byte.
        :param result: JSON.
        :param reference: outlives the answer, until the key is forgotten.
        :raises ClaimLost: when the token is outdated.
        """
        return self._driver.call(
            keys.complete(scope, key, claim_token, status, headers, body, result, reference)
        )

    def checkpoint(
        self,
        scope: str,
        key: str,
        claim_token: int,
        recovery_point: str,
        *,
        data: Any = None,
        lease: Seconds | None = None,
    ) -> datetime:
        """Remember how far a leased claim has come, and renew it; `idemdb.checkpoint`.

        :param recovery_point: the name of what is done.
        :param data: JSON for who resumes.
        :param lease: from now, seconds or a timedelta.
        :raises ClaimLost: when the token is outdated.
        """
        return self._driver.call(keys.checkpoint(scope, key, claim_token, recovery_point, data, lease))

    def renew(self, scope: str, key: str, claim_token: int, lease: Seconds) -> datetime:
        """Renew a lease; return until when; `idemdb.renew`.

        :param lease: from now, seconds or a timedelta.
        :raises ClaimLost: when the token is outdated.
        """
        return self._driver.call(keys.renew(scope, key, claim_token, lease))

    def release(self, scope: str, key: str, claim_token: int, error: str | None = None) -> datetime:
        """Give a claim back unfinished; `idemdb.release`.

        :param error: what went wrong, for who looks.
        :raises ClaimLost: when the token is outdated.
        """
        return self._driver.call(keys.release(scope, key, claim_token, error))

    def lookup(self, scope: str, key: str) -> KeyRecord:
        """Return what is known of a key; its state is 'unknown' where there is none; `idemdb.lookup`."""
        return self._driver.call(keys.lookup(scope, key))

    def execute(
        self,
        scope: str,
        key: str,
        function: str,
        args: Any,
        *,
        wait: Seconds | None = None,
        exclude: Sequence[str] = (),
        replay_for: Span | None = None,
        keep_for: Span | None = None,
        raise_: bool = False,
    ) -> Claim:
        """Run a function of the database once, or replay its answer, in one round trip; `idemdb.execute`.

        :param function: its name, such as 'app.pay'; it takes and returns jsonb.
        :param args: JSON-like; the request is told from others by them.
        :param wait: for how long to wait for a running holder, seconds or a timedelta (2 s).
        :param exclude: paths such as '{user,sent_at}' that do not tell requests apart.
        :param raise_: raise KeyInProgress and ParameterMismatch instead of answering with these outcomes.
        """
        settings = keys.options(replay_for, keep_for, None, raise_, tuple(exclude))
        return self._driver.call(keys.execute(scope, key, function, args, wait, settings))

    def fingerprint(self, request: Any, exclude: Sequence[str] = ()) -> Fingerprint:
        """Return the digest of a JSON-like request, to be given as ``request``; `idemdb.fingerprint`.

        :param exclude: paths such as '{user,sent_at}' to leave out.
        """
        return self._driver.call(keys.fingerprint(request, exclude))

    def resolve(self, scope: str, key: str, action: str, note: str, answer: Answer | None = None) -> str:
        """Decide what became of a key whose holder vanished; return the new state; `idemdb.resolve`.

        :param action: 'completed', 'retry' or 'forget'.
        :param note: why; kept in the audit.
        :param answer: what to replay, for 'completed'.
        """
        return self._driver.call(keys.resolve(scope, key, action, note, answer))

    def configure(self, kind: str, name: str, settings: Mapping[str, Any]) -> Any:
        """Change settings, return all that are set; `idemdb.configure`."""
        return self._driver.call(keys.configure(kind, name, settings))

    def forget(self, scope: str, key: str | None = None) -> int:
        """Erase finished keys of a scope, or one, with their answers; return how many; `idemdb.forget`."""
        return self._driver.call(keys.forget(scope, key))

    def sweep(self, limit: int = 10000) -> list[SweepResult]:
        """Remove what is past its time, at most so much; `idemdb.sweep`."""
        return self._driver.call(keys.sweep(limit))

    def version(self) -> int:
        """Return the installed release of the schema; `idemdb.version`.

        :raises SchemaMissing: where there is none.
        """
        return self._driver.call(keys.version())
