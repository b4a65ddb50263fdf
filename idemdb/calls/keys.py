"""Calls of the functions on idempotency keys, and of the house."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, LiteralString, TypeVar

from idemdb import fingerprint as fingerprints
from idemdb.errors import Answer
from idemdb.fingerprint import Fingerprint
from idemdb.results import Claim, KeyRecord, SweepResult
from idemdb.statement import Call, Rows, Statement, scalar
from idemdb.wire import (
    Seconds,
    Span,
    error_text,
    from_json,
    interval,
    optional_json,
    optional_text,
    span,
    text,
    to_json,
)

T = TypeVar("T")

# JSON travels as text in both directions, so that no codec that the user gave to a connection comes between.
_CLAIM_COLUMNS: LiteralString = (
    "outcome, claim_token, attempt, recovery_point, recovery_data::text, status, headers::text, body,"
    " result::text, reference, retry_after_ms, claimed_at, completed_at, details::text"
)
_RECORD_COLUMNS: LiteralString = (
    "state, scope, key, fingerprint, claim_token, attempt, recovery_point, recovery_data::text, status,"
    " headers::text, body, result::text, reference, last_error, created_at, claimed_at,"
    " nullif(lease_until, '-infinity'), completed_at, replay_until, forget_at, details::text"
)


def _claim_statement(digest: LiteralString) -> Statement:
    """Return the statement of claim; the fingerprint is made on the way, so that it costs no round trip."""
    return Statement(
        "claim",
        f"select {_CLAIM_COLUMNS} from idemdb.claim($1::text, $2::text, {digest}, $4::interval, $5::interval,"
        " $6::text::jsonb)",
    )


_CLAIM = _claim_statement("$3::bytea")
_CLAIM_JSON = _claim_statement("idemdb.fingerprint($3::text::jsonb)")
_EXECUTE = Statement(
    "execute",
    f"select {_CLAIM_COLUMNS} from idemdb.execute($1::text, $2::text, $3::text, $4::text::jsonb,"
    " $5::interval, $6::text::jsonb)",
)
_COMPLETE = Statement(
    "complete",
    "select idemdb.complete($1::text, $2::text, $3::bigint, $4::integer, $5::text::jsonb, $6::bytea,"
    " $7::text::jsonb, $8::text)",
)
_CHECKPOINT = Statement(
    "checkpoint",
    "select idemdb.checkpoint($1::text, $2::text, $3::bigint, $4::text, $5::text::jsonb, $6::interval)",
)
_RENEW = Statement("renew", "select idemdb.renew($1::text, $2::text, $3::bigint, $4::interval)")
_RELEASE = Statement("release", "select idemdb.release($1::text, $2::text, $3::bigint, $4::text)")
_LOOKUP = Statement("lookup", f"select {_RECORD_COLUMNS} from idemdb.lookup($1::text, $2::text)")
_RESOLVE = Statement(
    "resolve", "select idemdb.resolve($1::text, $2::text, $3::text, $4::text, $5::text::jsonb)"
)
_FINGERPRINT = Statement("fingerprint", "select idemdb.fingerprint($1::text::jsonb, $2::text[])")
_CONFIGURE = Statement("configure", "select idemdb.configure($1::text, $2::text, $3::text::jsonb)::text")
_FORGET = Statement("forget", "select idemdb.forget($1::text, $2::text)")
_SWEEP = Statement("sweep", "select what, removed, pass_complete from idemdb.sweep($1::integer)")
_VERSION = Statement("version", "select idemdb.version()")


@lru_cache(maxsize=256)
def options(
    replay_for: Span | None = None,
    keep_for: Span | None = None,
    abandoned: str | None = None,
    raise_: bool = False,
    exclude: tuple[str, ...] = (),
) -> str | None:
    """Return the options of claim and execute as JSON text; None where all have their default."""
    given: dict[str, Any] = {
        "replay_for": span(replay_for, "replay_for"),
        "keep_for": span(keep_for, "keep_for"),
        "abandoned": optional_text(abandoned, "abandoned"),
        "raise": raise_ or None,
        "exclude": list(exclude) or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return to_json(given, "options") if given else None


def claim(
    scope: str,
    key: str,
    request: Any = None,
    lease: Seconds | None = None,
    wait: Seconds | None = None,
    settings: str | None = None,
) -> Call[Claim]:
    """Build ``idemdb.claim``; settings as `options` returns them."""
    in_sql, digest = fingerprints.argument(request)
    statement = _CLAIM_JSON if in_sql else _CLAIM
    parameters = (digest, interval(lease, "lease"), interval(wait, "wait"), settings)
    return _keyed(statement, scope, key, parameters, _claim, bound=lease is None)


def execute(
    scope: str,
    key: str,
    function: str,
    args: Any,
    wait: Seconds | None = None,
    settings: str | None = None,
) -> Call[Claim]:
    """Build ``idemdb.execute``; settings as `options` returns them."""
    parameters = (text(function, "function"), to_json(args, "args"), interval(wait, "wait"), settings)
    return _keyed(_EXECUTE, scope, key, parameters, _claim)


def complete(
    scope: str,
    key: str,
    claim_token: int,
    status: int | None = None,
    headers: Any = None,
    body: bytes | None = None,
    result: Any = None,
    reference: str | None = None,
) -> Call[datetime]:
    """Build ``idemdb.complete``."""
    parameters = (
        claim_token,
        status,
        optional_json(headers, "headers"),
        body,
        optional_json(result, "result"),
        optional_text(reference, "reference"),
    )
    return _keyed(_COMPLETE, scope, key, parameters, scalar)


def checkpoint(
    scope: str,
    key: str,
    claim_token: int,
    recovery_point: str,
    data: Any = None,
    lease: Seconds | None = None,
) -> Call[datetime]:
    """Build ``idemdb.checkpoint``."""
    parameters = (
        claim_token,
        text(recovery_point, "recovery_point"),
        optional_json(data, "data"),
        interval(lease, "lease"),
    )
    return _keyed(_CHECKPOINT, scope, key, parameters, scalar)


def renew(scope: str, key: str, claim_token: int, lease: Seconds) -> Call[datetime]:
    """Build ``idemdb.renew``."""
    return _keyed(_RENEW, scope, key, (claim_token, interval(lease, "lease")), scalar)


def release(
    scope: str, key: str, claim_token: int, error: str | BaseException | None = None
) -> Call[datetime]:
    """Build ``idemdb.release``; an exception becomes one line without the values that drivers add."""
    message = error_text(error) if isinstance(error, BaseException) else optional_text(error, "error")
    return _keyed(_RELEASE, scope, key, (claim_token, message), scalar)


def lookup(scope: str, key: str) -> Call[KeyRecord]:
    """Build ``idemdb.lookup``."""
    return _keyed(_LOOKUP, scope, key, (), _record)


def resolve(scope: str, key: str, action: str, note: str, answer: Answer | None = None) -> Call[str]:
    """Build ``idemdb.resolve``."""
    parameters = (text(action, "action"), text(note, "note"), optional_json(_answer(answer), "answer"))
    return _keyed(_RESOLVE, scope, key, parameters, scalar)


def fingerprint(request: Any, exclude: Sequence[str] = ()) -> Call[Fingerprint]:
    """Build ``idemdb.fingerprint``."""
    paths = [text(path, "exclude") for path in exclude]
    return Call(_FINGERPRINT, (fingerprints.json_like(request), paths), _fingerprint)


def configure(kind: str, name: str, settings: Mapping[str, Any]) -> Call[Any]:
    """Build ``idemdb.configure``."""
    parameters = (text(kind, "kind"), text(name, "name"), to_json(settings, "settings"))
    return Call(_CONFIGURE, parameters, _json)


def forget(scope: str, key: str | None = None) -> Call[int]:
    """Build ``idemdb.forget``."""
    return Call(_FORGET, (text(scope, "scope"), optional_text(key, "key")), scalar, scope, key)


def sweep(limit: int = 10000) -> Call[list[SweepResult]]:
    """Build ``idemdb.sweep``."""
    return Call(_SWEEP, (limit,), _swept)


def version() -> Call[int]:
    """Build ``idemdb.version``."""
    return Call(_VERSION, (), scalar)


def _keyed(
    statement: Statement,
    scope: str,
    key: str,
    parameters: tuple[Any, ...],
    decode: Callable[[Rows], T],
    *,
    bound: bool = False,
) -> Call[T]:
    """Return the call of a function whose first parameters are scope and key."""
    parameters = (text(scope, "scope"), text(key, "key"), *parameters)
    return Call(statement, parameters, decode, scope, key, bound)


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    """Return an answer as ``resolve`` takes it."""
    if answer is None:
        return None
    given = {
        "status": answer.status,
        "headers": answer.headers,
        "body_base64": None if answer.body is None else base64.b64encode(answer.body).decode(),
        "result": answer.result,
        "reference": answer.reference,
    }
    return {name: value for name, value in given.items() if value is not None}


def _json(rows: Rows) -> Any:
    """Return the JSON of the only column of the only row."""
    return from_json(rows[0][0])


def _bytes(value: Any) -> bytes | None:
    """Return bytea as bytes: psycopg2 brings a memoryview."""
    return value if value is None or type(value) is bytes else bytes(value)


def _claim(rows: Rows) -> Claim:
    """Read a claim_result by position."""
    (
        outcome,
        token,
        attempt,
        point,
        data,
        status,
        headers,
        body,
        result,
        reference,
        retry_ms,
        claimed,
        completed,
        details,
    ) = rows[0]
    return Claim(
        outcome,
        token,
        attempt,
        point,
        from_json(data),
        status,
        from_json(headers),
        _bytes(body),
        from_json(result),
        reference,
        retry_ms,
        claimed,
        completed,
        from_json(details),
    )


# Columns of a key_record that need reading, by position.
_RECORD_READERS: dict[int, Callable[[Any], Any]] = {
    3: _bytes,
    7: from_json,
    9: from_json,
    10: _bytes,
    11: from_json,
    20: from_json,
}


def _record(rows: Rows) -> KeyRecord:
    """Read a key_record by position."""
    fields = list(rows[0])
    for position, read in _RECORD_READERS.items():
        fields[position] = read(fields[position])
    return KeyRecord(*fields)


def _fingerprint(rows: Rows) -> Fingerprint:
    """Return a digest that can be given as ``request``."""
    return Fingerprint(rows[0][0])


def _swept(rows: Rows) -> list[SweepResult]:
    """Read rows of sweep_result."""
    return [SweepResult(*row) for row in rows]
