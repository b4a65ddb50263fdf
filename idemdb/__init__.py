"""Idempotency enforced inside PostgreSQL."""

from __future__ import annotations

from idemdb.aio import AsyncIdem, AsyncOp
from idemdb.calls.row_types import reread_tables
from idemdb.consumer import AsyncConsumer, Consumer, Delivery
from idemdb.errors import (
    AlreadyClaimed,
    Answer,
    AnswerExpired,
    ClaimLost,
    HiddenRow,
    IdemError,
    InvalidArgument,
    KeyInProgress,
    NoNaturalKey,
    ParameterMismatch,
    RowContended,
    SchemaMissing,
    Unresolved,
)
from idemdb.event_flows import Event
from idemdb.fingerprint import Fingerprint
from idemdb.results import (
    Claim,
    EventResult,
    KeyRecord,
    OutboxMessage,
    OutboxResult,
    Outcome,
    OutcomeEvent,
    Processed,
    RowResult,
    SweepResult,
)
from idemdb.retrying import aretry, retry
from idemdb.sync import Idem, Op

__version__ = "0.1.0"

__all__ = [
    "AlreadyClaimed",
    "Answer",
    "AnswerExpired",
    "AsyncConsumer",
    "AsyncIdem",
    "AsyncOp",
    "Claim",
    "ClaimLost",
    "Consumer",
    "Delivery",
    "Event",
    "EventResult",
    "Fingerprint",
    "HiddenRow",
    "Idem",
    "IdemError",
    "InvalidArgument",
    "KeyInProgress",
    "KeyRecord",
    "NoNaturalKey",
    "Op",
    "OutboxMessage",
    "OutboxResult",
    "Outcome",
    "OutcomeEvent",
    "ParameterMismatch",
    "Processed",
    "RowContended",
    "RowResult",
    "SchemaMissing",
    "SweepResult",
    "Unresolved",
    "aretry",
    "reread_tables",
    "retry",
]
