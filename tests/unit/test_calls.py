from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idemdb import Answer, InvalidArgument
from idemdb.calls import events, keys, outbox
from idemdb.statement import Statement


def test_a_statement_is_rendered_for_each_style_once() -> None:
    statement = Statement("f", "select f($1::text, $2::jsonb)")
    assert statement.dollar == "select f($1::text, $2::jsonb)"
    assert statement.format == "select f(%s::text, %s::jsonb)"


@pytest.mark.parametrize("sql", ["select $2, $1", "select $1, $1", "select 5 % 3"])
def test_a_statement_that_some_style_cannot_say_is_refused(sql: Any) -> None:
    with pytest.raises(ValueError, match="parameters"):
        Statement("f", sql)


def test_the_text_of_a_call_is_constant() -> None:
    first = keys.claim("s", "k", {"a": 1}, lease=5, settings=keys.options(keep_for="3 days"))
    second = keys.claim("s", "other", [2])
    assert first.sql is second.sql
    assert first.sql is not keys.claim("s", "k", b"bytes").sql


def test_a_claim_says_everything_in_one_statement() -> None:
    call = keys.claim("s", "k", {"a": 1}, 5, timedelta(seconds=1), '{"raise":true}')
    assert "idemdb.fingerprint($3::text::jsonb)" in call.sql.dollar
    assert call.params == ("s", "k", '{"a":1}', timedelta(seconds=5), timedelta(seconds=1), '{"raise":true}')
    assert (call.scope, call.key, call.bound) == ("s", "k", False)
    assert keys.claim("s", "k").bound


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"raise_": True}, '{"raise":true}'),
        ({"exclude": ("{at}",)}, '{"exclude":["{at}"]}'),
        (
            {"replay_for": 60, "keep_for": "30 days", "abandoned": "hold"},
            '{"replay_for":"0 days 60.000000 seconds","keep_for":"30 days","abandoned":"hold"}',
        ),
    ],
)
def test_only_options_that_are_given_are_sent(given: Any, expected: str | None) -> None:
    assert keys.options(**given) == expected


def test_an_answer_goes_to_resolve_with_its_body_in_base64() -> None:
    call = keys.resolve("s", "k", "completed", "seen at the bank", Answer(status=200, body=b"\x00\xff"))
    assert call.params[4] == '{"status":200,"body_base64":"AP8="}'


@pytest.mark.parametrize(
    "build",
    [
        lambda bad: keys.claim(bad, "k"),
        lambda bad: keys.claim("s", bad),
        lambda bad: keys.claim("s", "k", {"a": bad}),
        lambda bad: keys.complete("s", "k", 1, reference=bad),
        lambda bad: keys.complete("s", "k", 1, headers={"h": bad}),
        lambda bad: keys.checkpoint("s", "k", 1, bad),
        lambda bad: keys.release("s", "k", 1, bad),
        lambda bad: keys.lookup("s", bad),
        lambda bad: keys.execute("s", "k", bad, {}),
        lambda bad: keys.resolve("s", "k", "retry", bad),
        lambda bad: keys.configure("topic", bad, {}),
        keys.forget,
        lambda bad: keys.fingerprint({}, [bad]),
        lambda bad: events.process(bad, "e"),
        lambda bad: events.process("c", bad),
        lambda bad: events.process_many("c", ["e", bad]),
        lambda bad: events.process_failed("c", "e", bad),
        lambda bad: events.process_offsets("c", bad, [1]),
        lambda bad: events.advance("c", bad, 1),
        lambda bad: events.dead_letter("topic", "t", bad, "drop"),
        lambda bad: outbox.add("t", bad, {}),
        lambda bad: outbox.add("t", "k", {"a": bad}),
        lambda bad: outbox.add("t", "k", {}, {bad: 1}),
        lambda bad: outbox.add("t", "k", {}, None, bad),
        lambda bad: outbox.take(bad, 1, 1),
        lambda bad: outbox.retry("t", 1, 1, 0, bad),
    ],
)
@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_what_the_wire_cannot_carry_is_refused_before_any_work(build: Any, bad: str) -> None:
    with pytest.raises(InvalidArgument):
        build(bad)


def test_an_exception_is_released_without_the_details_of_drivers() -> None:
    error = ValueError("duplicate key\nDETAIL:  Key (email)=(a@x) already exists.")
    assert keys.release("s", "k", 1, error).params == ("s", "k", 1, "ValueError: duplicate key")


@pytest.mark.parametrize(
    "build",
    [
        lambda: events.process("c", "e", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the point
        lambda: events.process_many("c", ["e"], [datetime(2026, 1, 1)]),  # noqa: DTZ001
        lambda: outbox.add("t", "k", {}, available_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: events.process_many("c", "several"),
    ],
)
def test_what_drivers_would_read_differently_is_refused(build: Any) -> None:
    with pytest.raises(InvalidArgument):
        build()


def test_what_must_not_commit_alone_is_bound() -> None:
    now = datetime.now(UTC)
    for call in (
        events.process("c", "e", now),
        events.process_many("c", ["e"], [now]),
        events.process_offsets("c", "s", [1]),
        events.advance("c", "e", 1),
    ):
        assert call.bound
        assert call.scope == "c"
    assert not events.process_failed("c", "e", "no").bound
    assert not outbox.add("t", "k", {}).bound


def test_a_failure_is_kept_without_the_details_of_drivers() -> None:
    error = ValueError("duplicate key\nDETAIL:  Key (email)=(a@x) already exists.")
    assert events.process_failed("c", "e", error).params[2] == "ValueError: duplicate key"
    assert outbox.retry("t", 1, 2, 0, error).params[4] == "ValueError: duplicate key"
