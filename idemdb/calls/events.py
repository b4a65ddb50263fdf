"""Calls of the functions on events, numbered streams, versions, and their dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from idemdb.results import EventResult, Processed
from idemdb.statement import Call, Rows, Statement, scalar
from idemdb.wire import error_text, instant, text, texts

_PROCESS = Statement("process", "select idemdb.process($1::text, $2::text, $3::timestamptz)")
_PROCESS_MANY = Statement(
    "process_many",
    "select item, event_id, outcome from idemdb.process_many($1::text, $2::text[], $3::timestamptz[])"
    " order by item",
)
_PROCESS_FAILED = Statement("process_failed", "select idemdb.process_failed($1::text, $2::text, $3::text)")
_PROCESS_OFFSETS = Statement(
    "process_offsets", "select idemdb.process_offsets($1::text, $2::text, $3::bigint[], $4::bigint)"
)
_ADVANCE = Statement("advance", "select idemdb.advance($1::text, $2::text, $3::bigint)")
_DEAD_LETTER = Statement("dead_letter", "select idemdb.dead_letter($1::text, $2::text, $3::text, $4::text)")


def process(consumer: str, event_id: str, occurred_at: datetime | None = None) -> Call[Processed[None]]:
    """Build ``idemdb.process``."""
    parameters = (text(consumer, "consumer"), text(event_id, "event_id"), instant(occurred_at, "occurred_at"))
    return Call(_PROCESS, parameters, _processed, consumer, event_id, bound=True)


def process_many(
    consumer: str, event_ids: Sequence[str], occurred_at: Sequence[datetime | None] | None = None
) -> Call[list[EventResult]]:
    """Build ``idemdb.process_many``."""
    times = None if occurred_at is None else [instant(time, "occurred_at") for time in occurred_at]
    parameters = (text(consumer, "consumer"), texts(event_ids, "event_ids"), times)
    return Call(_PROCESS_MANY, parameters, _results, consumer, bound=True)


def process_failed(consumer: str, event_id: str, error: str | BaseException) -> Call[str]:
    """Build ``idemdb.process_failed``; an exception becomes one line without the values that drivers add."""
    message = error_text(error) if isinstance(error, BaseException) else text(error, "error")
    parameters = (text(consumer, "consumer"), text(event_id, "event_id"), message)
    return Call(_PROCESS_FAILED, parameters, scalar, consumer, event_id)


def process_offsets(
    consumer: str, stream: str, offsets: Sequence[int], floor: int | None = None
) -> Call[list[int]]:
    """Build ``idemdb.process_offsets``."""
    parameters = (text(consumer, "consumer"), text(stream, "stream"), list(offsets), floor)
    return Call(_PROCESS_OFFSETS, parameters, scalar, consumer, bound=True)


def advance(consumer: str, entity: str, version: int) -> Call[str]:
    """Build ``idemdb.advance``."""
    parameters = (text(consumer, "consumer"), text(entity, "entity"), version)
    return Call(_ADVANCE, parameters, scalar, consumer, bound=True)


def dead_letter(kind: str, name: str, id_: str, action: str) -> Call[str]:
    """Build ``idemdb.dead_letter``."""
    parameters = (text(kind, "kind"), text(name, "name"), text(id_, "id"), text(action, "action"))
    return Call(_DEAD_LETTER, parameters, scalar)


def _processed(rows: Rows) -> Processed[None]:
    """Return the outcome of an event that nobody has handled yet."""
    return Processed(scalar(rows), None)


def _results(rows: Rows) -> list[EventResult]:
    """Read rows of event_result."""
    return [EventResult(*row) for row in rows]
