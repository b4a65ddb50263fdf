"""Repeat a whole transaction after a transient error: a conflict, a deadlock, a lost connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from idemdb.errors import is_transient

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0


def retry(fn: Callable[[], T], attempts: int = 5) -> T:
    """Call a function that opens and commits a transaction, again after transient errors; return its answer.

    :param fn: the whole transaction, its connection included. Whether a COMMIT whose answer was lost has
        happened is found out by the same idempotency key, so there must be one.
    :param attempts: calls at most. Between them it waits, at random up to a bound that doubles from 0.05 to
        5 s.

    Repeated are 40001, 40P01 and a lost connection, also inside SQLAlchemy's errors. Others are raised at
    once, and so is the last one.
    """
    return Retrying(**_policy(attempts))(fn)


async def aretry(fn: Callable[[], Awaitable[T]], attempts: int = 5) -> T:
    """Do what ``retry`` does with a coroutine function."""
    return await AsyncRetrying(**_policy(attempts))(fn)


def _policy(attempts: int) -> dict[str, Any]:
    """Return tenacity's settings."""
    return {
        "stop": stop_after_attempt(attempts),
        "wait": wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        "retry": retry_if_exception(is_transient),
        "reraise": True,
    }
