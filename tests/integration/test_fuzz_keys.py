"""Every function on keys against a plain model of the table of states, with fuzzed words and bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.support.strategies import fingerprints, json, letters, names, sized

Connection = psycopg.Connection[dict[str, Any]]
Address = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    status: int | None = None
    headers: Any = None
    body: bytes | None = None
    result: Any = None
    reference: str | None = None

    def parameters(self) -> dict[str, Any]:
        wrapped = {name: None if value is None else Jsonb(value) for name, value in self._json().items()}
        return {"status": self.status, "body": self.body, "reference": self.reference, **wrapped}

    def _json(self) -> dict[str, Any]:
        return {"headers": self.headers, "result": self.result}


EMPTY = Answer()
answers = st.builds(
    Answer,
    status=st.none() | st.integers(-(2**31), 2**31 - 1),
    headers=st.none()
    | st.dictionaries(st.text(letters, max_size=8), st.text(letters, max_size=8), max_size=3),
    body=st.none() | st.binary(max_size=300),
    result=json,
    reference=st.none() | st.text(letters, max_size=20),
)


@dataclass(frozen=True)
class Key:
    """What the model knows of a key.

    :param state: running, over, released, done, expired, or outdated (past forget_at).
    :param bound: the present claim has, or had, no lease.
    """

    state: str
    fingerprint: bytes
    token: int
    bound: bool
    hold: bool = False
    attempt: int = 1
    point: str | None = None
    data: Any = None
    error: str | None = None
    answer: Answer = EMPTY
    completed_at: Any = None


class Keys(RuleBasedStateMachine):
    """Calls in transactions of their own, and time that passes."""

    addresses = Bundle("addresses")
    tokens = Bundle("tokens")  # all that were ever handed out, so that outdated ones are tried too

    connection: Connection  # of the test that runs the machine

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[Address, Key] = {}

    def teardown(self) -> None:
        self.connection.execute("delete from idemdb.keys")

    def call(self, function: str, *arguments: Any, **named: Any) -> dict[str, Any] | str:
        """Call a function; return its row, or the SQLSTATE that it raised."""
        places = ", ".join(["%s"] * len(arguments) + [f"p_{name} => %s" for name in named])
        try:
            cursor = self.connection.execute(
                f"select * from idemdb.{function}({places})", [*arguments, *named.values()]
            )
        except psycopg.Error as error:
            return error.sqlstate or ""
        row = cursor.fetchone()
        assert row is not None
        return row

    def expect(self, address: Address, wanted: dict[str, Any], got: dict[str, Any] | str) -> dict[str, Any]:
        assert isinstance(got, dict), f"{got} for {address}, expected {wanted}"
        assert {name: got[name] for name in wanted} == wanted
        return got

    def age(self, address: Address, *columns: str) -> None:
        past = ", ".join(f"{column} = clock_timestamp() - interval '1s'" for column in columns)
        self.connection.execute(f"update idemdb.keys set {past} where (scope, key) = (%s, %s)", address)

    @initialize(target=addresses, scope=names, key=names)
    def first_address(self, scope: str, key: str) -> Any:
        # The same key in another scope, and what a careless concatenation would confuse it with.
        return multiple((scope, key), (key, scope), (scope, key[::-1]))

    @rule(target=addresses, scope=names, key=names)
    def address(self, scope: str, key: str) -> Address:
        return scope, key

    @rule(
        target=tokens,
        address=addresses,
        fingerprint=fingerprints,
        same=st.booleans(),
        lease=st.none() | st.just("1 hour"),
        hold=st.booleans(),
    )
    def claim(self, address: Address, fingerprint: bytes, same: bool, lease: str | None, hold: bool) -> Any:
        known = self.keys.get(address)
        if known and same:
            fingerprint = known.fingerprint
        options = Jsonb({"abandoned": "hold" if hold else "retry"})
        got = self.call("claim", *address, fingerprint, lease, "0", options)
        if known is None:
            row = self.expect(address, {"outcome": "started", "attempt": 1}, got)
            state = "running" if lease else "done"
            self.keys[address] = Key(state, fingerprint, row["claim_token"], not lease, hold)
            return row["claim_token"]
        if self._answered(address, known, fingerprint, got):
            return multiple()
        outcome = "resumed" if known.point else "started"
        wanted = {"outcome": outcome, "attempt": known.attempt + 1, "recovery_point": known.point}
        row = self.expect(address, {**wanted, "recovery_data": known.data}, got)
        self._taken_over(address, known, row, bound=not lease)
        return row["claim_token"]

    def _answered(self, address: Address, known: Key, fingerprint: bytes, got: dict[str, Any] | str) -> bool:
        """Check what a repeat is told where it may not run."""
        if fingerprint != known.fingerprint:
            self.expect(
                address, {"outcome": "mismatch", "claim_token": None, "result": None, "body": None}, got
            )
        elif known.state == "done":
            answer = {**vars(known.answer), "completed_at": known.completed_at}
            self.expect(address, {"outcome": "replayed", **answer}, got)
        elif known.state in {"expired", "outdated"}:
            dropped = {"status": None, "headers": None, "body": None, "result": None}
            self.expect(address, {"outcome": "expired", "reference": known.answer.reference, **dropped}, got)
        elif known.state == "running":
            row = self.expect(address, {"outcome": "in_progress", "claim_token": None}, got)
            assert 0 < row["retry_after_ms"] <= 3_600_000
        elif known.state == "over" and known.hold:
            self.expect(address, {"outcome": "unresolved", "claim_token": None}, got)
        else:
            return False
        return True

    def _taken_over(self, address: Address, known: Key, row: dict[str, Any], *, bound: bool) -> None:
        assert row["claim_token"] > known.token
        changes = {"token": row["claim_token"], "bound": bound, "attempt": known.attempt + 1}
        self.keys[address] = replace(known, state="done" if bound else "running", **changes)

    @rule(address=addresses, arguments=json.filter(lambda value: value is not None))
    def execute(self, address: Address, arguments: Any) -> None:
        got = self.call("execute", *address, "public.echo", Jsonb(arguments), "0")
        row = self.connection.execute("select idemdb.fingerprint(%s) as f", [Jsonb(arguments)]).fetchone()
        assert row is not None
        known = self.keys.get(address)
        answer = Answer(result={"echo": arguments})
        if known is None:
            row = {**row, **self.expect(address, {"outcome": "started", "result": answer.result}, got)}
            token = self._stored(address)["claim_token"]
            self.keys[address] = Key("done", row["f"], token, bound=True, answer=answer)
        elif self._answered(address, known, row["f"], got):
            return
        elif known.point:
            assert got == "ID004"
            return
        else:
            self.expect(address, {"outcome": "started", "result": answer.result}, got)
            self._taken_over(address, known, self._stored(address), bound=True)
            self.keys[address] = replace(self.keys[address], answer=answer)
        self.keys[address] = replace(self.keys[address], completed_at=self._stored(address)["completed_at"])

    def _stored(self, address: Address) -> dict[str, Any]:
        row = self.call("lookup", *address)
        assert isinstance(row, dict)
        return row

    @rule(target=tokens, address=addresses, fingerprint=fingerprints, answer=answers, kept=st.booleans())
    def bound_transaction(self, address: Address, fingerprint: bytes, answer: Answer, kept: bool) -> Any:
        """Claim, complete and commit, or roll back: then it was nothing."""
        if address in self.keys:
            return multiple()
        with self.connection.transaction(force_rollback=not kept):
            row = self.expect(address, {"outcome": "started"}, self.call("claim", *address, fingerprint))
            token = row["claim_token"]
            done = self.call("complete", *address, token, **answer.parameters())
            assert isinstance(done, dict), done
            again = self.call("claim", *address, fingerprint)
            self.expect(address, {"outcome": "replayed", **vars(answer)}, again)
        if kept:
            completed_at = done["complete"]
            key = Key("done", fingerprint, token, bound=True, answer=answer, completed_at=completed_at)
            self.keys[address] = key
        return token

    def _holds(self, address: Address, token: int) -> Key | None:
        """Return the key if the token may still change it."""
        known = self.keys.get(address)
        if known and known.token == token and not known.bound and known.state in {"running", "over"}:
            return known
        return None

    @rule(address=addresses, token=tokens, answer=answers, current=st.booleans())
    def complete(self, address: Address, token: int, answer: Answer, current: bool) -> None:
        known = self.keys.get(address)
        if current and known:
            token = known.token
        got = self.call("complete", *address, token, **answer.parameters())
        if held := self._holds(address, token):
            assert isinstance(got, dict), got
            done = replace(held, state="done", answer=answer, completed_at=got["complete"])
            self.keys[address] = replace(done, point=None, data=None)
            return
        repeated = known and known.state == "done" and not known.bound and known.token == token
        if known and repeated and known.answer == answer:
            assert got == {"complete": known.completed_at}
        else:
            assert got == "ID003"

    @rule(address=addresses)
    def complete_again(self, address: Address) -> None:
        """Repeat a completion whose answer was lost."""
        known = self.keys.get(address)
        if known and known.completed_at:
            got = self.call("complete", *address, known.token, **known.answer.parameters())
            assert got == (
                {"complete": known.completed_at} if known.state == "done" and not known.bound else "ID003"
            )

    @rule(address=addresses, token=tokens, point=st.text(letters, min_size=1, max_size=9), data=json)
    def checkpoint(self, address: Address, token: int, point: str, data: Any) -> None:
        token = self._often_current(address, token)
        wrapped = None if data is None else Jsonb(data)
        got = self.call("checkpoint", *address, token, point, wrapped)
        if held := self._holds(address, token):
            assert isinstance(got, dict), got
            self.keys[address] = replace(held, point=point, data=data)
        else:
            assert got == "ID003"

    @rule(address=addresses, token=tokens)
    def renew(self, address: Address, token: int) -> None:
        token = self._often_current(address, token)
        got = self.call("renew", *address, token, "1 hour")
        if held := self._holds(address, token):
            assert isinstance(got, dict), got
            self.keys[address] = replace(held, state="running")
        else:
            assert got == "ID003"

    @rule(address=addresses, token=tokens, error=st.none() | st.text(letters, max_size=20))
    def release(self, address: Address, token: int, error: str | None) -> None:
        token = self._often_current(address, token)
        got = self.call("release", *address, token, error)
        if held := self._holds(address, token):
            assert isinstance(got, dict), got
            self.keys[address] = replace(held, state="released", error=error)
        else:
            assert got == "ID003"

    def _often_current(self, address: Address, token: int) -> int:
        known = self.keys.get(address)
        return known.token if known and known.token % 4 else token

    @rule(address=addresses, action=st.sampled_from(["completed", "retry", "forget"]), answer=answers)
    def resolve(self, address: Address, action: str, answer: Answer) -> None:
        known = self.keys.get(address)
        # What an answer given by hand may hold; its body is tested where bytes are turned into base64.
        by_hand = Answer(status=answer.status, result=answer.result)
        given = {name: value for name, value in vars(by_hand).items() if value is not None}
        got = self.call(
            "resolve", *address, action, "looked into it", Jsonb(given) if action == "completed" else None
        )
        unfinished = known is not None and known.state in {"over", "released"}
        finished = known is not None and known.state in {"done", "expired", "outdated"}
        if known is None or not (unfinished or (finished and action == "forget")):
            assert got == "ID004"
            return
        if action == "forget":
            assert got == {"resolve": "forgotten"}
            del self.keys[address]
            return
        assert got == {"resolve": "done" if action == "completed" else "released"}
        stored = self._stored(address)
        self.keys[address] = replace(known, state="released", token=stored["claim_token"])
        if action == "completed":
            done = replace(known, state="done", answer=by_hand, completed_at=stored["completed_at"])
            self.keys[address] = replace(done, token=stored["claim_token"], point=None, data=None)
        if known.state == "over":
            assert self.call("complete", *address, known.token) == "ID003"  # the old token is void

    @rule(address=addresses)
    def forget(self, address: Address) -> None:
        got = self.call("forget", *address)
        finished = address in self.keys and self.keys[address].state in {"done", "expired", "outdated"}
        assert got == {"forget": 1 if finished else 0}
        if finished:
            del self.keys[address]

    @rule()
    def sweep(self) -> None:
        for _ in range(100):
            rows = self.connection.execute("select * from idemdb.sweep()").fetchall()
            if all(row["pass_complete"] for row in rows):
                break
        else:
            pytest.fail("a pass of the sweep has no end")
        self.keys = {address: key for address, key in self.keys.items() if key.state != "outdated"}

    @rule(address=addresses)
    def lease_runs_out(self, address: Address) -> None:
        known = self.keys.get(address)
        if known and known.state == "running":
            self.age(address, "lease_until")
            self.keys[address] = replace(known, state="over")

    @rule(address=addresses)
    def answer_expires(self, address: Address) -> None:
        known = self.keys.get(address)
        if known and known.state == "done":
            self.age(address, "replay_until")
            self.keys[address] = replace(known, state="expired")

    @rule(address=addresses)
    def key_is_outdated(self, address: Address) -> None:
        known = self.keys.get(address)
        if known and known.state in {"done", "expired"}:
            self.age(address, "replay_until", "forget_at")
            self.keys[address] = replace(known, state="outdated")

    @rule(address=consumes(addresses))
    def look(self, address: Address) -> None:
        """An address that is looked at is not used again, but stays in the model."""
        self._compare(address, self._stored(address))

    @invariant()
    def nothing_else_changed(self) -> None:
        rows = self.connection.execute("select scope, key, claim_token from idemdb.keys").fetchall()
        stored = {(row["scope"], row["key"]): row["claim_token"] for row in rows}
        assert stored == {address: key.token for address, key in self.keys.items()}

    def _compare(self, address: Address, row: dict[str, Any]) -> None:
        known = self.keys.get(address)
        if known is None:
            assert row["state"] == "unknown"
            return
        unfinished = {"over": "unresolved" if known.hold else "abandoned", "outdated": "expired"}
        assert row["state"] == unfinished.get(known.state, known.state)
        assert row["fingerprint"] == known.fingerprint
        assert (row["attempt"], row["recovery_point"]) == (known.attempt, known.point)
        assert row["recovery_data"] == known.data
        answer = known.answer if known.state == "done" else Answer(reference=known.answer.reference)
        assert {name: row[name] for name in vars(answer)} == vars(answer)


@pytest.fixture
def connection(dsn: str) -> Any:
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("""
            create function public.echo(p jsonb) returns jsonb language sql immutable as $$
                select pg_catalog.jsonb_build_object('echo', p)
            $$
        """)
        yield connection


def test_keys_against_the_model(connection: Connection) -> None:
    Keys.connection = connection
    run_state_machine_as_test(Keys, settings=sized(60, large=2000))
