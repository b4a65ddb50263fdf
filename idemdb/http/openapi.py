"""Describe the header and its problems in an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from idemdb.http.policy import EXEMPT, Matched, Policy
from idemdb.http.problems import KINDS
from idemdb.http.protocol import LONGEST, PROBLEM_TYPE, REPLAYED, SAFE_METHODS
from idemdb.http.rules import Rules

NAME = "IdempotencyProblem"

PROBLEM: dict[str, Any] = {
    "title": NAME,
    "description": "Why there is neither work nor an answer for a request with a key (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "enum": list(KINDS)},
        "operation_state": {"type": "string", "enum": sorted({kind.state for kind in KINDS.values()})},
        "operation_ref": {"type": ["string", "null"]},
        "retry_after": {"type": ["integer", "null"], "description": "Seconds."},
        "safe_new_key": {
            "type": "boolean",
            "description": "Whether the request may be tried again with a new key.",
        },
        "error": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            "required": ["type", "message"],
        },
    },
    "required": [
        *("type", "title", "status", "detail", "instance", "code", "operation_state", "operation_ref"),
        *("retry_after", "safe_new_key", "error"),
    ],
}
_KEY = "A key for this operation, made by the client and sent again with each repeat: bare, or in quotes."
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_REPLAYED = {
    REPLAYED: {
        "description": "true: the answer was stored by an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def describe(document: dict[str, Any], rules: Rules, operations: Iterable[tuple[str, Matched]]) -> None:
    """Add the header, its problems and their schema to the operations that follow it; again changes nothing.

    :param operations: method and route of each.
    """
    described = False
    for method, route in operations:
        operation = document.get("paths", {}).get(route.template, {}).get(method.lower())
        policy = rules.policy(method, route)
        if operation is None or method in SAFE_METHODS or policy is EXEMPT:
            continue
        _describe(operation, policy)
        described = True
    if described:
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault(NAME, PROBLEM)


def _describe(operation: dict[str, Any], policy: Policy) -> None:
    """Describe one operation."""
    parameters = operation.setdefault("parameters", [])
    if not any(
        parameter.get("in") == "header" and str(parameter.get("name", "")).lower() == policy.header.lower()
        for parameter in parameters
    ):
        schema = {"type": "string", "minLength": 1, "maxLength": 2 * LONGEST + 2}
        parameters.append(
            {
                "name": policy.header,
                "in": "header",
                "required": policy.required,
                "description": _KEY,
                "schema": schema,
            }
        )
    responses = operation.setdefault("responses", {})
    by_status: dict[str, list[str]] = {}
    for code, kind in KINDS.items():
        if kind.status < 500:
            title = kind.title.format(header=policy.header)
            by_status.setdefault(str(policy.statuses.get(code, kind.status)), []).append(title)
    for status, titles in sorted(by_status.items()):
        response = responses.setdefault(status, {"description": ". ".join(titles)})
        content = response.setdefault("content", {})
        content.setdefault(PROBLEM_TYPE, {"schema": {"$ref": f"#/components/schemas/{NAME}"}})
        if status == "409":
            response.setdefault("headers", {}).update(_RETRY)
    for status, response in responses.items():
        if status.startswith("2"):
            response.setdefault("headers", {}).update(_REPLAYED)
