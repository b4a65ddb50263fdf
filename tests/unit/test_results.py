from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from idemdb import Claim, EventResult, KeyRecord, OutboxMessage, OutboxResult, SweepResult
from idemdb.resources import SQL
from tests.support.results import make_claim


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (Claim, "claim_result"),
        (KeyRecord, "key_record"),
        (SweepResult, "sweep_result"),
        (EventResult, "event_result"),
        (OutboxResult, "outbox_result"),
        (OutboxMessage, "outbox_message"),
    ],
)
def test_a_result_has_the_fields_of_its_sql_type(result: Any, name: str) -> None:
    source = (SQL / "types" / f"{name}.sql").read_text()
    body = source[source.index(" as (") : source.index(");")]
    columns = re.findall(r"^\s+(\w+) [a-z]", body, re.MULTILINE)
    assert [field.name for field in dataclasses.fields(result)] == columns


@pytest.mark.parametrize(
    ("outcome", "granted", "replayed"),
    [
        ("started", True, False),
        ("resumed", True, False),
        ("replayed", False, True),
        ("expired", False, False),
    ],
)
def test_outcomes_of_a_claim(outcome: str, granted: bool, replayed: bool) -> None:
    claim = make_claim(outcome)
    assert (claim.granted, claim.replayed) == (granted, replayed)


def test_the_value_is_the_result_else_the_body() -> None:
    assert make_claim(result=[], body=b"x").value == []
    assert make_claim(body=b"x").value == b"x"
    assert make_claim().value is None


def test_retry_after_is_in_seconds() -> None:
    assert make_claim(retry_after_ms=1500).retry_after == 1.5
    assert make_claim().retry_after is None


def test_results_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_claim().status = 200  # type: ignore[misc]
