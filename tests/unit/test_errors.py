from __future__ import annotations

import pytest

import idemdb
from idemdb import (
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
from idemdb.errors import refusal
from tests.support.results import make_claim


@pytest.mark.parametrize(
    ("error", "sqlstate"),
    [
        (KeyInProgress, "ID001"),
        (ParameterMismatch, "ID002"),
        (ClaimLost, "ID003"),
        (InvalidArgument, "ID004"),
        (SchemaMissing, "ID005"),
        (NoNaturalKey, "ID006"),
        (AlreadyClaimed, "ID007"),
        (AnswerExpired, None),
        (Unresolved, None),
    ],
)
def test_each_sqlstate_has_its_error(error: type[IdemError], sqlstate: str | None) -> None:
    assert error.sqlstate == sqlstate
    assert issubclass(error, IdemError)
    assert str(error()) == (error.__doc__ or "").partition("\n")[0] != ""


def test_only_a_mismatch_makes_a_new_key_safe() -> None:
    errors = [vars(idemdb)[name] for name in idemdb.__all__]
    safe = [error for error in errors if isinstance(error, type) and issubclass(error, IdemError)]
    assert [error for error in safe if error.safe_new_key] == [ParameterMismatch]


def test_an_answer_is_no_error_of_idemdb() -> None:
    answer = Answer(status=402, result={"declined": True})
    assert not isinstance(answer, IdemError)
    assert (answer.status, answer.headers, answer.body, answer.result) == (
        402,
        None,
        None,
        {"declined": True},
    )


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("in_progress", KeyInProgress),
        ("mismatch", ParameterMismatch),
        ("expired", AnswerExpired),
        ("unresolved", Unresolved),
    ],
)
def test_a_refusal_carries_what_is_known(outcome: str, error: type[IdemError]) -> None:
    refused = refusal(make_claim(outcome, retry_after_ms=250, reference="order 7"), "scope", "secret-key")
    assert type(refused) is error
    assert (refused.scope, refused.key, refused.outcome) == ("scope", "secret-key", outcome)
    assert "secret-key" not in str(refused)
    assert "HINT" in str(refused)
    if error is KeyInProgress:
        assert refused.retry_after == 0.25
    if isinstance(refused, AnswerExpired):
        assert refused.reference == "order 7"
