"""The Idempotency-Key header of HTTP: policies of routes, and adapters for ASGI, WSGI and frameworks.

``idemdb.http.asgi``, ``.wsgi``, ``.starlette`` and ``.fastapi`` have the middleware.
"""

from __future__ import annotations

from idemdb.http.answers import Reply
from idemdb.http.current import AsyncCurrent, Current
from idemdb.http.exchange import Exchanged
from idemdb.http.policy import Matched, Policy, exempt, idempotent
from idemdb.http.problems import problem
from idemdb.http.rules import Rules

__all__ = [
    "AsyncCurrent",
    "Current",
    "Exchanged",
    "Matched",
    "Policy",
    "Reply",
    "Rules",
    "exempt",
    "idempotent",
    "problem",
]
