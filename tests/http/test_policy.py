"""Policies, problems and what is stored, without a database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from idemdb import Answer, Claim, InvalidArgument
from idemdb.http import Matched, Policy, Rules, exempt, idempotent, problem
from idemdb.http.answers import BrokenOff, Collected, NotStored, check_whole, conclude, replay
from idemdb.http.exchange import Waiters
from idemdb.http.policy import EXEMPT, NEVER_STORED, declared
from idemdb.http.problems import KINDS

MEMBERS = {
    *("type", "title", "status", "detail", "instance", "code", "operation_state", "operation_ref"),
    *("retry_after", "safe_new_key", "error"),
}


@pytest.mark.parametrize("code", KINDS)
def test_problems_have_all_members(code: str) -> None:
    reply = problem(code, Policy(), "/pay/a b", retry_after=0.2, reference="order-1", what="it is empty")
    said = json.loads(reply.body)
    assert set(said) == MEMBERS
    assert said["code"] == code
    assert said["type"].endswith(code)
    assert said["status"] == reply.status == KINDS[code].status
    assert said["instance"] == "/pay/a%20b"
    assert (said["retry_after"], said["operation_ref"]) == (1, "order-1")
    # stripe-node takes a body without `error` for a success.
    assert set(said["error"]) == {"type", "message"}
    headers = dict(reply.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"retry-after"] == b"1"
    assert headers[b"content-length"] == str(len(reply.body)).encode()


def test_only_where_nothing_was_done_a_new_key_is_safe() -> None:
    assert {code for code, kind in KINDS.items() if kind.safe} == {"key-missing", "key-invalid", "key-reused"}


def test_a_policy_changes_statuses_and_the_name() -> None:
    policy = Policy(statuses={"key-reused": 409}, header="X-Payout-Idempotency")
    said = json.loads(problem("key-reused", policy, "/").body)
    assert (said["status"], said["title"]) == (409, "X-Payout-Idempotency is already used")


STORED = [200, 201, 202, 204, 301, 303, 400, 402, 406, 409, 410, 418]
NOT_STORED = [401, 403, 404, 405, 413, 415, 422, 429, 500, 501, 502, 503, 504]


def test_what_is_stored() -> None:
    policy = Policy(store=[503, 422], skip=[409, 200])
    for status in STORED + NOT_STORED:
        assert Policy().stores(status) == (status in STORED), status
        expected = status in (503, 422) or (status in STORED and status not in (409, 200))
        assert policy.stores(status) == expected, status
        assert Policy().keeps(status) == (status < 400)
    assert Policy(keep_writes=[402]).keeps(402)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "both"},
        {"lease": 0},
        {"lease": None},
        {"wait": -1},
        {"cap": -1},
        {"attempts": 0},
        {"abandoned": "hold"},
        {"reconcile": print},
        {"headers": ["X-Order", "Set-Cookie"]},
        {"headers": ["Connection"]},
        {"statuses": {"nothing": 400}},
        {"store": [409], "skip": [409]},
    ],
)
def test_bad_policies(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Policy(**settings)


def test_routes_declare_policies() -> None:
    @idempotent(required=True)
    def pay() -> None: ...

    @exempt
    def login() -> None: ...

    rules = Rules(None, scope=lambda _: "ada", policies={"POST /a": Policy(cap=1), "/b": None})
    assert rules.policy("POST", Matched("/pay", declared(pay))).required
    assert rules.policy("POST", Matched("/login", declared(login))) is EXEMPT
    assert rules.policy("POST", Matched("/a", declared(pay))).cap == 1
    assert rules.policy("PUT", Matched("/a")) == Policy()
    assert rules.policy("PUT", Matched("/b", declared(pay))) is EXEMPT


def test_a_middleware_without_a_scope_does_not_start() -> None:
    with pytest.raises(InvalidArgument, match="scope"):
        Rules(None)
    with pytest.raises(InvalidArgument, match="empty"):
        Rules(None, anonymous_scope="")
    with pytest.raises(TypeError, match="scopes"):
        Rules(None, scopes=None)  # type: ignore[call-arg]


def test_who_sent_it() -> None:
    rules = Rules(None, scope=lambda _: None)
    assert rules.principal(None) is None
    assert rules.principal("") is None
    assert rules.principal("ada") == "ada"
    assert Rules(None, anonymous_scope="all").principal(None) == "all"
    with pytest.raises(InvalidArgument):
        rules.principal(7)


def collected(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Collected:
    return Collected(status, headers, **{"body": b"x", **more})


def test_headers_that_are_stored() -> None:
    given = (
        *((name.encode(), b"1") for name in NEVER_STORED),
        (b"Link", b"<a>"),
        (b"X-Order", b"1"),
        (b"X-Other", b"1"),
        (b"link", b"<b>"),
        (b"Location", b"/orders/\xe9"),
    )
    answer, keep = conclude(Policy(headers=["X-ORDER"]), collected(201, *given))
    assert answer.headers == [["link", "<a>"], ["x-order", "1"], ["link", "<b>"], ["location", "/orders/é"]]
    assert (answer.reference, keep) == ("/orders/é", True)
    assert conclude(Policy(), collected(201, *given), "order-1")[0].reference == "order-1"


def test_a_body_that_is_omitted() -> None:
    answer, _ = conclude(Policy(), collected(omitted=True))
    assert (answer.status, answer.body, answer.result) == (200, None, {"body": "omitted"})
    assert replay(_claim(answer)) is None


def test_what_is_not_stored_is_raised() -> None:
    with pytest.raises(NotStored):
        conclude(Policy(), collected(500))


def _claim(answer: Answer) -> Claim:
    empty: dict[str, Any] = dict.fromkeys(Claim.__slots__)
    stored = {name: getattr(answer, name) for name in ("status", "headers", "body", "result", "reference")}
    return Claim(**{**empty, **stored, "outcome": "replayed"})


def test_replays() -> None:
    answer, _ = conclude(Policy(), collected(200, (b"Content-Type", b"a/b"), body=b"\x00\xff"))
    again = replay(_claim(answer))
    assert again is not None
    assert again.headers == (
        (b"content-type", b"a/b"),
        (b"content-length", b"2"),
        (b"idempotent-replayed", b"true"),
    )
    assert (again.status, again.body, again.line) == (200, b"\x00\xff", "200 OK")
    empty = replay(_claim(conclude(Policy(), collected(204, body=b""))[0]))
    assert empty is not None
    assert empty.headers == ((b"idempotent-replayed", b"true"),)
    # A person resolved the key, and said what the answer is.
    said = replay(_claim(Answer(status=201, headers={"location": "/1"}, result={"id": 1})))
    assert said is not None
    assert (said.status, said.body, said.headers[0]) == (201, b'{"id": 1}', (b"location", b"/1"))
    assert replay(_claim(Answer())) is None


def test_a_body_shorter_than_it_says() -> None:
    check_whole(collected(200, (b"Content-Length", b"1")))
    check_whole(collected(304, (b"content-length", b"7"), body=b""))
    check_whole(collected(200, (b"content-length", b"7"), more=True))
    with pytest.raises(BrokenOff):
        check_whole(collected(200, (b"content-length", b"7")))


def test_waiters_are_counted() -> None:
    waiters = Waiters(1)
    assert [waiters.enter(), waiters.enter()] == [True, False]
    waiters.leave()
    assert waiters.enter()
