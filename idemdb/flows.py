"""Operations of several steps, as generators of calls: ``run`` and ``step``. A driver drives them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeVar

from idemdb.calls import keys as calls
from idemdb.drivers.base import AUTOCOMMITS, ENTER, IDLE, Flow, Invoke, Step, keep, undo
from idemdb.errors import Answer, ClaimLost, InvalidArgument, refusal
from idemdb.fingerprint import stable_key
from idemdb.results import Claim, KeyRecord, Outcome
from idemdb.statement import Call
from idemdb.wire import Seconds, from_json, interval, text

T = TypeVar("T")

Reconcile = Callable[[KeyRecord], Any]

_IN_TRANSACTION = "run(lease=…) commits by itself, but the connection has a transaction open"


class Work:
    """What a handler is given of its run, and what the flows remember of it."""

    def __init__(self, connection: Any, scope: str, key: str, lease: Seconds | None, *, hold: bool) -> None:
        """Begin with what is known before the claim.

        :param connection: the caller's.
        :param lease: of the run; None for a run in the caller's transaction.
        :param hold: whether a holder that vanished leaves the key unresolved.
        """
        self.connection = connection
        self.scope = scope
        self.key = key
        self.lease = lease
        self.hold = hold
        self.steps: dict[str, Any] = {}
        self.point: Any = None
        # Steps whose foreign call was begun and whose answer is not remembered.
        self.uncertain: set[str] = set()
        self._claim: Claim | None = None
        self._lost = False

    @property
    def claim(self) -> Claim:
        """Return the claim that this run holds."""
        assert self._claim is not None, "the handler runs after the claim"
        return self._claim

    @property
    def token(self) -> int:
        """Return the claim token, the fence against late holders."""
        token = self.claim.claim_token
        assert token is not None, "a claim that is granted has a token"
        return token

    @property
    def recovery_point(self) -> str | None:
        """Return the name of the last finished step of the holder before, None on a fresh start."""
        return self.claim.recovery_point

    @property
    def recovery_data(self) -> Any:
        """Return what the last checkpoint of the holder before remembered."""
        return self.claim.recovery_data

    @property
    def lost(self) -> bool:
        """Say whether the claim is known to have passed to another holder."""
        return self._lost

    def key_for(self, name: str) -> str:
        r"""Return a key to send to another service: the same for every repeat, takeover and resumed run.

        :param name: of the call, so that two calls of one run have different keys.

        It is the UUIDv5, in the namespace ``5f0a7c39-6a0e-5d1c-9b0b-1de31de31db0``, of the JSON text
        ``["scope","key","name"]``: no spaces, nothing but ``"``, ``\`` and control characters escaped.
        """
        return stable_key(self.scope, self.key, text(name, "name"))

    def hold_claim(self, claim: Claim) -> None:
        """Take the claim, and the answers of the steps that holders before have finished."""
        self._claim = claim
        if self.lease is not None and isinstance(claim.recovery_data, dict):
            self.steps = dict(claim.recovery_data.get("steps") or {})

    def lose(self) -> ClaimLost:
        """Remember that the claim is lost; return the error."""
        self._lost = True
        return ClaimLost(scope=self.scope, key=self.key, hint="stop: another holder does the work now")

    def start(self) -> None:
        """Begin to renew the lease, where there is a way to."""


class Finish:
    """The end of a run: how its answer is stored, and what it is."""

    def __init__(self, work: Work, returned: Any) -> None:
        """Build the call of ``complete``; refuse what cannot be stored while there is something to undo."""
        if isinstance(returned, bytes | bytearray | memoryview):
            returned = Answer(body=bytes(returned))
        answer = returned if isinstance(returned, Answer) else Answer(result=returned)
        self._work = work
        self.call = calls.complete(
            work.scope,
            work.key,
            work.token,
            answer.status,
            answer.headers,
            answer.body,
            answer.result,
            answer.reference,
        )

    def outcome(self, completed_at: Any) -> Outcome[Any]:
        """Return the outcome, with the answer as a replay will bring it."""
        _, _, _, status, headers, body, result, reference = self.call.params
        claim = replace(
            self._work.claim,
            status=status,
            headers=from_json(headers),
            body=body,
            result=from_json(result),
            reference=reference,
            completed_at=completed_at,
        )
        return Outcome(claim.outcome, claim.value, claim)


def run(
    work: Work, ask: Call[Claim], handler: Callable[..., Any], reconcile: Reconcile | None = None
) -> Flow[Outcome[Any]]:
    """Claim, let the handler work, complete; or return the answer of before.

    :raises KeyInProgress, ParameterMismatch, AnswerExpired, Unresolved: where it can neither run nor replay.
    """
    if work.lease is not None:
        return (yield from _leased(work, ask, handler, reconcile))
    if reconcile is not None:
        raise InvalidArgument(
            "reconcile needs run(lease=…): a transaction must not stay open around a foreign call",
            scope=work.scope,
            key=work.key,
            hint="give run a lease",
        )
    if not (yield AUTOCOMMITS):
        return (yield from _bound(work, ask, handler))
    return (yield from inside(_bound(work, ask, handler)))


def inside(flow: Flow[T]) -> Flow[T]:
    """Run a flow in a transaction of its own."""
    point = yield ENTER
    try:
        answer = yield from flow
    except GeneratorExit:
        raise
    except BaseException:
        yield from quietly(undo(point))
        raise
    yield keep(point)
    return answer


def one(call: Call[T]) -> Flow[T]:
    """Make a flow of a call."""
    answer: T = yield call
    return answer


def alone(call: Call[T]) -> Flow[T]:
    """Send a call in a transaction of its own."""
    return inside(one(call))


def quietly(*steps: Step | Flow[Any]) -> Generator[Step, Any, str | None]:
    """Do steps while another error is on its way; return the name of the error that ends them, if any."""
    try:
        for step in steps:
            if isinstance(step, Generator):
                yield from step
            else:
                yield step
    except Exception as error:  # noqa: BLE001 - the first error is the one to report
        return type(error).__name__
    return None


def _settled(work: Work, claim: Claim) -> Outcome[Any]:
    """Return the outcome of a claim that was not granted, or raise what it means."""
    if not claim.replayed:
        raise refusal(claim, work.scope, work.key)
    return Outcome(claim.outcome, claim.value, claim)


def _bound(work: Work, ask: Call[Claim], handler: Callable[..., Any]) -> Flow[Outcome[Any]]:
    """Run in the transaction that is open: the claim, the handler's writes and the answer commit together."""
    claim = yield ask
    if not claim.granted:
        return _settled(work, claim)
    work.hold_claim(claim)
    try:
        work.point = yield ENTER
        finish, completed_at = yield from _worked(work, handler)
        yield keep(work.point)
    except GeneratorExit:
        raise
    except BaseException as error:
        failed = yield from quietly(_undone(work), calls.release(work.scope, work.key, work.token, error))
        if failed:
            error.add_note(f"The claim could not be taken back ({failed}): roll the transaction back.")
        raise
    return finish.outcome(completed_at)


def _leased(
    work: Work, ask: Call[Claim], handler: Callable[..., Any], reconcile: Reconcile | None
) -> Flow[Outcome[Any]]:
    """Run with a lease: the claim commits by itself, the handler's writes with the answer."""
    if not (yield IDLE):
        raise InvalidArgument(
            _IN_TRANSACTION, scope=work.scope, key=work.key, hint="commit or roll back first"
        )
    claim = yield from alone(ask)
    if claim.outcome == "unresolved" and reconcile is not None:
        claim = yield from _reconciled(work, ask, claim, reconcile)
    if not claim.granted:
        return _settled(work, claim)
    work.hold_claim(claim)
    try:
        yield Invoke(work.start)
        work.point = yield ENTER
        finish, completed_at = yield from _worked(work, handler)
        yield keep(work.point)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from quietly(_undone(work))
        # A call to the outside whose end is unknown must not be made again before someone has looked.
        if not (work.hold and work.uncertain):
            yield from quietly(alone(calls.release(work.scope, work.key, work.token, error)))
        raise
    return finish.outcome(completed_at)


def _reconciled(work: Work, ask: Call[Claim], claim: Claim, reconcile: Reconcile) -> Flow[Claim]:
    """Ask what became of a holder that vanished, resolve the key accordingly, and claim again."""
    record = yield from alone(calls.lookup(work.scope, work.key))
    if record.state == "unresolved":
        verdict = yield Invoke(reconcile, (record,))
        if verdict is None:
            return claim
        if verdict != "retry" and not isinstance(verdict, Answer):
            raise InvalidArgument(
                f"reconcile must return an Answer, 'retry' or None, not {type(verdict).__name__}",
                scope=work.scope,
                key=work.key,
            )
        yield from inside(_resolved(work, record, verdict, reconcile))
    return (yield from alone(ask))


def _resolved(work: Work, record: KeyRecord, verdict: Answer | str, reconcile: Reconcile) -> Flow[None]:
    """Resolve a key, unless somebody has decided about it, or another holder has had it, meanwhile."""
    now = yield calls.lookup(work.scope, work.key)
    if (now.state, now.claim_token) != (record.state, record.claim_token):
        return
    answer = verdict if isinstance(verdict, Answer) else None
    action = "retry" if answer is None else "completed"
    note = f"reconciled by {getattr(reconcile, '__qualname__', type(reconcile).__name__)}"
    yield calls.resolve(work.scope, work.key, action, note, answer)


def _worked(work: Work, handler: Callable[..., Any]) -> Flow[tuple[Finish, Any]]:
    """Let the handler work, and complete, which fails where a statement of the handler has failed unseen."""
    try:
        finish = Finish(work, (yield Invoke(handler, (work,))))
    except Answer as answer:
        finish = Finish(work, answer)
        yield from _undone(work)
        work.point = yield ENTER
    return finish, (yield finish.call)


def _undone(work: Work) -> Flow[None]:
    """Roll back what the run has entered."""
    point, work.point = work.point, None
    if point is not None:
        yield undo(point)


def step(work: Work, name: str, function: Callable[[], Any]) -> Flow[Any]:
    """Call the outside world once, and remember its answer with everything written so far in the run.

    :raises InvalidArgument: in a run without a lease; for an answer that is not JSON.
    :raises ClaimLost: when another holder has taken over, before the function is called.
    """
    if work.lease is None:
        raise InvalidArgument(
            "step needs run(lease=…): a transaction must not stay open around a foreign call",
            scope=work.scope,
            key=work.key,
            hint="give run a lease, or let a message in the outbox make the call",
        )
    if name in work.steps:
        return work.steps[name]
    if work.lost or (yield calls.lookup(work.scope, work.key)).claim_token != work.token:
        raise work.lose()
    work.uncertain.add(name)
    try:
        answer = yield Invoke(function)
    except Answer:
        work.uncertain.discard(name)
        raise
    data = {"steps": {**work.steps, name: answer}}
    remember = calls.checkpoint(work.scope, work.key, work.token, name, data, work.lease)
    yield remember
    point, work.point = work.point, None
    yield keep(point)
    work.uncertain.discard(name)
    # As a resumed run will read them.
    work.steps = from_json(remember.params[4])["steps"]
    work.point = yield ENTER
    return work.steps[name]


def renewal(work: Work) -> tuple[Call[Any], float]:
    """Return the call that renews the lease of a run, and the lease in seconds."""
    lease = interval(work.lease, "lease")
    assert lease is not None, "only leased runs renew"
    return calls.renew(work.scope, work.key, work.token, lease), lease.total_seconds()
