"""Calls of the functions on the transactional outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from idemdb.results import OutboxMessage, OutboxResult
from idemdb.statement import Call, Rows, Statement, scalar
from idemdb.wire import (
    Seconds,
    error_text,
    from_json,
    instant,
    interval,
    optional_json,
    optional_text,
    text,
    to_json,
)

_ADD = Statement(
    "outbox_add",
    "select outcome, id from idemdb.outbox_add($1::text, $2::text, $3::text::jsonb, $4::text::jsonb,"
    " $5::text, $6::timestamptz)",
)
# JSON travels as text in both directions, so that no codec that the user gave to a connection comes between.
_TAKE = Statement(
    "outbox_take",
    "select id, claim_token, dedup_key, group_key, payload::text, headers::text, attempt, created_at,"
    " details::text from idemdb.outbox_take($1::text, $2::integer, $3::interval) order by id",
)
_DONE = Statement("outbox_done", "select idemdb.outbox_done($1::text, $2::bigint, $3::bigint[])")
_RETRY = Statement(
    "outbox_retry",
    "select idemdb.outbox_retry($1::text, $2::bigint, $3::bigint, $4::interval, $5::text)",
)


def add(
    topic: str,
    dedup_key: str,
    payload: Any,
    headers: Mapping[str, Any] | None = None,
    group: str | None = None,
    available_at: datetime | None = None,
) -> Call[OutboxResult]:
    """Build ``idemdb.outbox_add``."""
    parameters = (
        text(topic, "topic"),
        text(dedup_key, "dedup_key"),
        to_json(payload, "payload"),
        optional_json(headers, "headers"),
        optional_text(group, "group"),
        instant(available_at, "available_at"),
    )
    return Call(_ADD, parameters, _result, topic, dedup_key)


def take(topic: str, limit: int, lease: Seconds) -> Call[list[OutboxMessage]]:
    """Build ``idemdb.outbox_take``."""
    return Call(_TAKE, (text(topic, "topic"), limit, interval(lease, "lease")), _messages, topic)


def done(topic: str, claim_token: int, ids: Sequence[int]) -> Call[int]:
    """Build ``idemdb.outbox_done``."""
    return Call(_DONE, (text(topic, "topic"), claim_token, list(ids)), scalar, topic)


def retry(
    topic: str, claim_token: int, id_: int, delay: Seconds, error: str | BaseException | None = None
) -> Call[str]:
    """Build ``idemdb.outbox_retry``; an exception becomes one line without the values that drivers add."""
    message = error_text(error) if isinstance(error, BaseException) else optional_text(error, "error")
    parameters = (text(topic, "topic"), claim_token, id_, interval(delay, "delay"), message)
    return Call(_RETRY, parameters, scalar, topic)


def _result(rows: Rows) -> OutboxResult:
    """Read an outbox_result."""
    return OutboxResult(*rows[0])


def _messages(rows: Rows) -> list[OutboxMessage]:
    """Read rows of outbox_message."""
    return [
        OutboxMessage(
            id_, token, dedup_key, group, from_json(payload), from_json(headers), attempt, created_at,
            from_json(details),
        )
        for id_, token, dedup_key, group, payload, headers, attempt, created_at, details in rows
    ]  # fmt: skip
