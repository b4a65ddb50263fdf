"""Problems (RFC 9457): what a client is told when there is neither work nor an answer for it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from idemdb.http.answers import Reply
from idemdb.http.policy import Policy
from idemdb.http.protocol import PROBLEM_TYPE

# The beginning of a problem's type; its code is the end.
TYPES = "urn:idemdb:problem:"


@dataclass(frozen=True)
class Kind:
    """What is said of one kind of problem; ``{header}`` stands for the header's name.

    :param state: of the operation, in the words of ``lookup``.
    :param safe: whether the client may try again with a new key.
    :param error: the type in ``error``, by which SDKs choose the exception to raise.
    """

    status: int
    title: str
    detail: str
    state: str
    safe: bool
    error: str = "idempotency_error"


KINDS = {
    "key-missing": Kind(
        400,
        "{header} is missing",
        "This operation is only done with a key: make one per operation, and send it again with each repeat.",
        "unknown",
        safe=True,
        error="invalid_request_error",
    ),
    "key-invalid": Kind(
        400,
        "{header} is invalid",
        "The header is no key: {what}.",
        "unknown",
        safe=True,
        error="invalid_request_error",
    ),
    "key-reused": Kind(
        422,
        "{header} is already used",
        "The key came with another request before. Repeat that request, or make a new key for a new one.",
        "unknown",
        safe=True,
    ),
    "in-progress": Kind(
        409,
        "A request is outstanding for this {header}",
        "The first request is still being worked on. Send the same request with the same key again later.",
        "running",
        safe=False,
    ),
    "claim-lost": Kind(
        409,
        "The work for this {header} has passed to another request",
        "This request took too long and its writes are rolled back. Send it with the same key again.",
        "running",
        safe=False,
    ),
    "result-expired": Kind(
        409,
        "The result for this {header} is no longer kept",
        "The operation was done and will not be done again. Look its result up by operation_ref.",
        "expired",
        safe=False,
    ),
    "unresolved": Kind(
        409,
        "The outcome for this {header} is not known",
        "The operation was interrupted and may have been done. It is not repeated before that is found out.",
        "unresolved",
        safe=False,
    ),
    "failed": Kind(
        500,
        "Internal Server Error",
        "The request failed and no answer is stored. It may be sent with the same key again.",
        "unknown",
        safe=False,
        error="api_error",
    ),
    "unavailable": Kind(
        503,
        "Service Unavailable",
        "The request met others and was rolled back. Send it with the same key again later.",
        "unknown",
        safe=False,
        error="api_error",
    ),
}


def problem(
    code: str,
    policy: Policy,
    path: str,
    *,
    retry_after: float | None = None,
    reference: str | None = None,
    what: str = "",
) -> Reply:
    """Return a problem as an answer.

    :param code: one of KINDS.
    :param path: of the request.
    :param retry_after: after how many seconds to ask again; rounded up to whole ones.
    :param reference: of the operation, where one is known.
    :param what: is wrong with the key.
    """
    kind = KINDS[code]
    seconds = None if retry_after is None else max(1, math.ceil(retry_after))
    status = policy.statuses.get(code, kind.status)
    title = kind.title.format(header=policy.header)
    members: dict[str, Any] = {
        "type": TYPES + code,
        "title": title,
        "status": status,
        "detail": kind.detail.format(what=what),
        "instance": quote(path, safe="/:@!$&'()*+,;=~", errors="surrogatepass"),
        "code": code,
        "operation_state": kind.state,
        "operation_ref": reference,
        "retry_after": seconds,
        "safe_new_key": kind.safe,
        # Clients of Stripe take an answer without this member for a success.
        "error": {"type": kind.error, "message": title},
    }
    body = json.dumps(members).encode()
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if seconds is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    return Reply(status, tuple(headers), body)
