"""Errors of idemdb, and how errors of PostgreSQL and its drivers become them."""

from __future__ import annotations

import re
from typing import Any, ClassVar, NamedTuple

from idemdb.results import Claim


class IdemError(Exception):
    """An error of idemdb."""

    sqlstate: ClassVar[str | None] = None
    outcome: ClassVar[str | None] = None
    safe_new_key: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        scope: str | None = None,
        key: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        """Describe the error.

        :param message: one sentence; the class's docstring by default.
        :param scope: the scope of the key in question.
        :param key: the key in question.
        :param retry_after: after how many seconds the same call may do better, where that is known.
        :param hint: what to do.

        ``safe_new_key`` says whether the same request may be sent under a new key without doing the work
        twice, ``outcome`` is the outcome that the error stands for, ``sqlstate`` the SQLSTATE that raises it.
        """
        self.message = message or (self.__doc__ or "").partition("\n")[0]
        self.scope = scope
        self.key = key
        self.retry_after = retry_after
        self.hint = hint
        super().__init__(self.message if hint is None else f"{self.message}\nHINT: {hint}")


class KeyInProgress(IdemError):
    """Another holder is working under this idempotency key."""

    sqlstate = "ID001"
    outcome = "in_progress"


class ParameterMismatch(IdemError):
    """This idempotency key was used with another request."""

    sqlstate = "ID002"
    outcome = "mismatch"
    # What the new key would do has never been done under the old one: that was another request.
    safe_new_key = True


class ClaimLost(IdemError):
    """The claim token is outdated: the claim has ended or has passed to another holder."""

    sqlstate = "ID003"


class InvalidArgument(IdemError):
    """An argument is not valid."""

    sqlstate = "ID004"


class SchemaMissing(IdemError):
    """The schema idemdb is missing in this database, or too old."""

    sqlstate = "ID005"


class NoNaturalKey(IdemError):
    """The table has no usable natural key for these columns, or several."""

    sqlstate = "ID006"


class HiddenRow(IdemError):
    """A row with this key exists, but row-level security hides it from this role."""

    sqlstate = "42501"


class RowContended(IdemError):
    """Other sessions changed the row again and again: repeat the transaction."""

    sqlstate = "40001"


class AlreadyClaimed(IdemError):
    """This very transaction has claimed the key already."""

    sqlstate = "ID007"


class AnswerExpired(IdemError):
    """The work under this key was done, but its answer is no longer kept."""

    outcome = "expired"

    def __init__(self, message: str | None = None, *, reference: str | None = None, **about: Any) -> None:
        """Describe the error; ``reference`` is what the answer left behind (`complete(reference=…)`)."""
        super().__init__(message, **about)
        self.reference = reference


class Unresolved(IdemError):
    """The key's holder vanished and nobody knows whether its work was done."""

    outcome = "unresolved"


class Answer(Exception):
    """What a handler answers. Raised, its writes roll back and the answer is stored; returned, they stay."""

    def __init__(
        self,
        *,
        status: int | None = None,
        headers: Any = None,
        body: bytes | None = None,
        result: Any = None,
        reference: str | None = None,
    ) -> None:
        """Hold the parts of the answer.

        :param status: a number, such as an HTTP status.
        :param headers: JSON.
        :param body: replayed byte for byte.
        :param result: JSON.
        :param reference: text that outlives the answer (kept for ``keep_for``), such as the number of an
            order.
        """
        super().__init__(status, reference)
        self.status = status
        self.headers = headers
        self.body = body
        self.result = result
        self.reference = reference


_BY_SQLSTATE: dict[str, type[IdemError]] = {
    error.sqlstate: error
    for error in (
        KeyInProgress,
        ParameterMismatch,
        ClaimLost,
        InvalidArgument,
        SchemaMissing,
        NoNaturalKey,
        AlreadyClaimed,
    )
    if error.sqlstate
}
_ABSENT = {"3F000", "42883", "42P01", "42704"}  # schema, function, table, type
_INSTALL = "install it: run the migration that `idemdb init` writes, or `idemdb upgrade`"
_REFUSALS: dict[str, tuple[type[IdemError], str]] = {
    "in_progress": (KeyInProgress, "send the same request with the same key again after retry_after"),
    "mismatch": (ParameterMismatch, "a repeat must be the same request; use a new key for a new request"),
    "expired": (AnswerExpired, "the work is done; find its result by the error's reference"),
    "unresolved": (Unresolved, "find out whether the work was done, then call resolve"),
}


class _Report(NamedTuple):
    """What PostgreSQL said, whichever driver brought it."""

    sqlstate: str | None
    message: str
    hint: str | None
    detail: str | None


def _report(error: BaseException) -> _Report | None:
    """Return what PostgreSQL said, from an error of psycopg, psycopg2, asyncpg or SQLAlchemy."""
    error = getattr(error, "orig", None) or error
    diag = getattr(error, "diag", None)
    if diag is not None:
        # An error that the driver made itself has only its class's.
        sqlstate = diag.sqlstate or getattr(error, "sqlstate", None)
        return _Report(sqlstate, diag.message_primary or "", diag.message_hint, diag.message_detail)
    # SQLAlchemy keeps asyncpg's own error as the cause of the one it makes for its DBAPI.
    if not hasattr(error, "hint") and error.__cause__ is not None and hasattr(error.__cause__, "hint"):
        error = error.__cause__
    if not hasattr(error, "sqlstate"):
        return None
    told = [getattr(error, name, None) for name in ("sqlstate", "message", "hint", "detail")]
    return _Report(told[0], told[1] or str(error), told[2], told[3])


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of any driver or SQLAlchemy, None where there is none."""
    report = _report(error)
    return report.sqlstate if report else None


def translate(error: BaseException, scope: str | None = None, key: str | None = None) -> IdemError | None:
    """Return the error of idemdb that a driver's error stands for, or None where it is not idemdb's.

    :param error: as the driver or SQLAlchemy raised it; raise the result from it.
    :param scope: of the call that failed.
    :param key: of the call that failed.
    """
    report = _report(error)
    if report is None or report.sqlstate is None:
        return None
    if report.sqlstate in _ABSENT and "idemdb" in report.message:
        return SchemaMissing(
            f"{SchemaMissing.__doc__} ({report.message})", scope=scope, key=key, hint=_INSTALL
        )
    kind = _BY_SQLSTATE.get(report.sqlstate)
    if kind is None:
        return None
    again = _retry_after(report.detail)
    return kind(report.message, scope=scope, key=key, hint=report.hint, retry_after=again)


def _retry_after(detail: str | None) -> float | None:
    """Return the seconds that the DETAIL of ID001 names."""
    found = re.fullmatch(r'\{"retry_after_ms": (\d+)\}', detail or "")
    return int(found[1]) / 1000 if found else None


def refusal(claim: Claim, scope: str, key: str) -> IdemError:
    """Return the error for a claim that gives neither the work nor an answer."""
    kind, hint = _REFUSALS[claim.outcome]
    if kind is AnswerExpired:
        return AnswerExpired(scope=scope, key=key, hint=hint, reference=claim.reference)
    return kind(scope=scope, key=key, hint=hint, retry_after=claim.retry_after)


_CONNECTION_LOST = {"57P01", "57P02", "57P03"}  # shutdown by an administrator, crash, not yet ready again
_TRANSIENT = {"40001", "40P01"}
# What drivers raise without a SQLSTATE when the connection is gone; by name, so that none needs to be there.
_GONE = {
    ("psycopg", "OperationalError"),
    ("psycopg", "ConnectionTimeout"),
    ("psycopg2", "OperationalError"),
    ("asyncpg", "ConnectionDoesNotExistError"),
}
# What a transaction's block of asyncpg raises instead of the error by which the connection was lost.
_LEAVING = ("asyncpg", "InterfaceError")


def is_transient(error: BaseException) -> bool:
    """Say whether the whole transaction may simply be repeated: 40001, 40P01, or the connection is lost.

    A COMMIT whose answer was lost is among these: the same key again finds out what became of it.
    """
    if getattr(error, "connection_invalidated", False):
        return True
    state = sqlstate_of(error)
    if state is not None:
        return state in _TRANSIENT or state in _CONNECTION_LOST or state.startswith("08")
    error = getattr(error, "orig", None) or error
    name = (type(error).__module__.partition(".")[0], type(error).__name__)
    if name == _LEAVING and error.__context__ is not None:
        return is_transient(error.__context__)
    return name in _GONE
