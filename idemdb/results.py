"""Answers of idemdb's SQL functions, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

KeyOutcome = Literal["started", "resumed", "replayed", "in_progress", "mismatch", "expired", "unresolved"]
EventOutcome = Literal["first_seen", "duplicate", "too_old", "dead"]
RowOutcome = Literal["created", "existing", "updated", "unchanged", "stale", "gone", "deleted", "absent"]
OutboxOutcome = Literal["added", "existing", "mismatch"]
KeyState = Literal["unknown", "running", "abandoned", "unresolved", "released", "done", "expired"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Answer of ``claim`` and ``execute``: the fields of ``idemdb.claim_result``.

    ``recovery_data``, ``headers``, ``result`` and ``details`` are decoded JSON, ``body`` is what was stored,
    byte for byte.
    """

    outcome: KeyOutcome
    claim_token: int | None
    attempt: int | None
    recovery_point: str | None
    recovery_data: Any
    status: int | None
    headers: Any
    body: bytes | None
    result: Any
    reference: str | None
    retry_after_ms: int | None
    claimed_at: datetime | None
    completed_at: datetime | None
    details: Any

    @property
    def granted(self) -> bool:
        """Say whether the caller is to do the work now."""
        return self.outcome in ("started", "resumed")

    @property
    def replayed(self) -> bool:
        """Say whether this is the stored answer of work done before."""
        return self.outcome == "replayed"

    @property
    def retry_after(self) -> float | None:
        """Return after how many seconds to ask again, where the database knows."""
        return None if self.retry_after_ms is None else self.retry_after_ms / 1000

    @property
    def value(self) -> Any:
        """Return the stored answer: ``result`` where there is one, else ``body``."""
        return self.body if self.result is None else self.result


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Answer of ``lookup``: the fields of ``idemdb.key_record``; state ``unknown`` where there is no key."""

    state: KeyState
    scope: str
    key: str
    fingerprint: bytes | None
    claim_token: int | None
    attempt: int | None
    recovery_point: str | None
    recovery_data: Any
    status: int | None
    headers: Any
    body: bytes | None
    result: Any
    reference: str | None
    last_error: str | None
    created_at: datetime | None
    claimed_at: datetime | None
    lease_until: datetime | None
    completed_at: datetime | None
    replay_until: datetime | None
    forget_at: datetime | None
    details: Any


@dataclass(frozen=True, slots=True)
class SweepResult:
    """One row of ``sweep``: what was removed, how many, and whether the cursor has gone round once."""

    what: str
    removed: int
    pass_complete: bool


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """Answer of ``run``.

    ``value`` is the handler's answer, the same whether the handler ran now or the answer is a replay: its
    JSON value, or its bytes. ``claim`` has the parts of the answer that is now stored: status, headers, body,
    result, reference.
    """

    outcome: KeyOutcome
    value: T
    claim: Claim

    @property
    def replayed(self) -> bool:
        """Say whether the handler did not run, because its answer was stored before."""
        return self.claim.replayed


@dataclass(frozen=True, slots=True)
class Processed(Generic[T]):
    """Answer of ``process``: the outcome, and as ``value`` what the handler returned, if it ran."""

    outcome: EventOutcome
    value: T | None

    @property
    def first_seen(self) -> bool:
        """Say whether the event is new: the handler ran, or the caller is to handle it now."""
        return self.outcome == "first_seen"


@dataclass(frozen=True, slots=True)
class EventResult:
    """One row of ``process_many``: the position in the batch from 1, the event, and its outcome."""

    item: int
    event_id: str
    outcome: EventOutcome


@dataclass(frozen=True, slots=True)
class OutboxResult:
    """Answer of ``outbox_add``: the outcome, and the id of the message that is there."""

    outcome: OutboxOutcome
    id: int


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message that ``outbox_take`` has handed out: the fields of ``idemdb.outbox_message``.

    ``payload``, ``headers`` and ``details`` are decoded JSON. ``claim_token`` is the same for all messages of
    one take.
    """

    id: int
    claim_token: int
    dedup_key: str
    group_key: str | None
    payload: Any
    headers: Any
    attempt: int
    created_at: datetime
    details: Any


@dataclass(frozen=True, slots=True)
class RowResult(Generic[T]):
    """Answer of a row verb.

    ``item`` is the position in a batch, from 1. ``record`` is the row as it now stands, by the names that the
    caller uses: the instance for an ORM class over a Session, else a dict; None for a row that is not there.
    ``differs`` names columns given whose stored value is another one.
    """

    item: int
    outcome: RowOutcome
    record: T | None
    differs: tuple[str, ...]

    @property
    def created(self) -> bool:
        """Say whether the row is new."""
        return self.outcome == "created"


@dataclass(frozen=True, slots=True)
class OutcomeEvent:
    """What ``on_outcome`` is told of a call: for metrics, hence without key, request and answer.

    ``call`` is the SQL function's name, ``scope`` the scope, consumer or topic, ``seconds`` the time until
    the database had answered (waiting included).
    """

    call: str
    scope: str | None
    outcome: str
    attempt: int | None
    seconds: float
