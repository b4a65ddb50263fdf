"""Idempotency enforced inside PostgreSQL."""

from __future__ import annotations

from idemdb.aio import AsyncIdem, AsyncOp
from idemdb.errors import (
    AlreadyClaimed,
    Answer,
    AnswerExpired,
    ClaimLost,
    IdemError,
    InvalidArgument,
    KeyInProgress,
    NoNaturalKey,
    ParameterMismatch,
    SchemaMissing,
    Unresolved,
)
from idemdb.fingerprint import Fingerprint
from idemdb.results import Claim, KeyRecord, Outcome, OutcomeEvent, SweepResult
from idemdb.retrying import aretry, retry
from idemdb.sync import Idem, Op

__version__ = "0.1.0"

__all__ = [
    "AlreadyClaimed",
    "Answer",
    "AnswerExpired",
    "AsyncIdem",
    "AsyncOp",
    "Claim",
    "ClaimLost",
    "Fingerprint",
    "Idem",
    "IdemError",
    "InvalidArgument",
    "KeyInProgress",
    "KeyRecord",
    "NoNaturalKey",
    "Op",
    "Outcome",
    "OutcomeEvent",
    "ParameterMismatch",
    "SchemaMissing",
    "SweepResult",
    "Unresolved",
    "aretry",
    "retry",
]
