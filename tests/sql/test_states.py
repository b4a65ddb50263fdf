"""Every state of a key against every call, as one table. What it says is explained in docs/explanation/states.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

SCOPE = "acme:pay"
ARGS = '{"amount": 500}'
FINGERPRINT = f"idemdb.fingerprint('{ARGS}')"
OTHER = "idemdb.fingerprint('{\"amount\": 999}')"
ANSWER = "200, '{\"a\": \"b\"}', 'body', '{\"id\": 7}', 'payment/7'"

# Columns: claim, with another fingerprint, execute, complete with the stored answer or a first one, complete with another answer,
# renew, checkpoint, release, resolve completed, resolve retry, resolve forget, state after sweep. A SQLSTATE means refused.
TABLE = """
state                  claim       other       execute     same    differ  renew   checkp. release  done   retry    forget    sweep
absent                 started     started     started     ID003   ID003   ID003   ID003   ID003    ID004  ID004    ID004     unknown
open elsewhere         in_progress in_progress in_progress ID003   ID003   ID003   ID003   ID003    ID004  ID004    ID004     unknown
leased open elsewhere  in_progress in_progress in_progress ID003   ID003   ID003   ID003   ID003    ID004  ID004    ID004     unknown
open mine              ID007       mismatch    ID007       stored  stored  ID004   ID004   unknown  ID004  ID004    ID004     running
leased open mine       ID007       mismatch    ID007       stored  stored  works   works   released ID004  ID004    ID004     running
completed mine         replayed    mismatch    replayed    first   ID003   ID003   ID003   ID003    ID004  ID004    ID004     done
leased completed mine  replayed    mismatch    replayed    first   ID003   ID003   ID003   ID003    ID004  ID004    ID004     done
done, never completed  replayed    mismatch    replayed    ID003   ID003   ID003   ID003   ID003    ID004  ID004    forgotten done
done, bound            replayed    mismatch    replayed    ID003   ID003   ID003   ID003   ID003    ID004  ID004    forgotten done
done, leased           replayed    mismatch    replayed    first   ID003   ID003   ID003   ID003    ID004  ID004    forgotten done
past replay_for        expired     mismatch    expired     ID003   ID003   ID003   ID003   ID003    ID004  ID004    forgotten expired
running                in_progress mismatch    in_progress stored  stored  works   works   released ID004  ID004    ID004     running
abandoned              started     mismatch    started     stored  stored  works   works   released done   released forgotten abandoned
abandoned, checkpoint  resumed     mismatch    ID004       stored  stored  works   works   released done   released forgotten abandoned
abandoned, hold        unresolved  mismatch    unresolved  stored  stored  works   works   released done   released forgotten unresolved
abandoned, forgettable started     mismatch    started     stored  stored  works   works   released done   released forgotten abandoned
released               started     mismatch    started     ID003   ID003   ID003   ID003   ID003    done   released forgotten released
released, hold         started     mismatch    started     ID003   ID003   ID003   ID003   ID003    done   released forgotten released
released, checkpoint   resumed     mismatch    ID004       ID003   ID003   ID003   ID003   ID003    done   released forgotten released
released, forgettable  started     mismatch    started     ID003   ID003   ID003   ID003   ID003    done   released forgotten unknown
checkpoint, forgettab. resumed     mismatch    ID004       ID003   ID003   ID003   ID003   ID003    done   released forgotten released
past forget_at         expired     mismatch    expired     ID003   ID003   ID003   ID003   ID003    ID004  ID004    forgotten unknown
taken over             in_progress mismatch    in_progress ID003   ID003   ID003   ID003   ID003    ID004  ID004    ID004     running
"""
CALLS = TABLE.split("\n")[1].split()[1:]
ROWS = {line[:23].strip(): line[23:].split() for line in TABLE.strip().split("\n")[1:]}


@dataclass
class Stage:
    """Two sessions, and a key that is brought into a state by one of them.

    :ivar me: the session that makes the call under test.
    :ivar other: a session that may hold the key meanwhile.
    """

    me: psycopg.Connection[Any]
    other: psycopg.Connection[Any]
    key: str = ""
    token: int = 0
    answered_at: Any = None
    open_sessions: list[psycopg.Connection[Any]] = field(default_factory=list)

    def claim(
        self, *, by: psycopg.Connection[Any] | None = None, lease: str = "null", options: str = "null"
    ) -> None:
        """Claim the key in a transaction that stays open."""
        conn = by or self.me
        row = conn.execute(
            f"select claim_token from idemdb.claim('{SCOPE}', %s, {FINGERPRINT}, {lease}, '0', {options})",
            [self.key],
        ).fetchone()
        assert row is not None
        self.token = row[0]

    def complete(self) -> None:
        """Store the answer in my open transaction."""
        self.answered_at = self.me.execute(
            f"select idemdb.complete('{SCOPE}', %s, %s, {ANSWER})", [self.key, self.token]
        ).fetchone()

    def checkpoint(self) -> None:
        """Reach a recovery point."""
        self.me.execute(
            f"select idemdb.checkpoint('{SCOPE}', %s, %s, 'charged', '{{}}')", [self.key, self.token]
        )

    def release(self) -> None:
        """Give a leased claim back."""
        self.me.execute(f"select idemdb.release('{SCOPE}', %s, %s, 'boom')", [self.key, self.token])

    def set(self, columns: str) -> None:
        """Commit, then let time pass by setting the key's clock columns."""
        self.me.execute(f"update idemdb.keys set {columns} where scope = '{SCOPE}' and key = %s", [self.key])
        self.me.commit()


LEASE_OVER = "lease_until = clock_timestamp() - interval '1 second'"
FORGETTABLE = "replay_until = clock_timestamp() - interval '2 seconds', forget_at = clock_timestamp() - interval '1 second'"
HOLD = '\'{"abandoned": "hold"}\''
MINUTE = "'1 minute'"


def _past(stage: Stage, columns: str) -> None:
    stage.claim(lease=MINUTE)
    stage.complete()
    stage.set(columns)


def _leased(
    stage: Stage, *steps: Callable[[], None], columns: str = "attempt = 1", options: str = "null"
) -> None:
    stage.claim(lease=MINUTE, options=options)
    for step in steps:
        step()
    stage.set(columns)


def _taken_over(stage: Stage) -> None:
    _leased(stage, columns=LEASE_OVER)
    old = stage.token
    stage.claim(lease=MINUTE)
    stage.me.commit()
    stage.token = old


def _open(stage: Stage, lease: str = "null", *, complete: bool = False, commit: bool = False) -> None:
    stage.claim(lease=lease)
    if complete:
        stage.complete()
    if commit:
        stage.me.commit()


SETUPS: dict[str, Callable[[Stage], None]] = {
    "absent": lambda s: None,
    "open elsewhere": lambda s: s.claim(by=s.other),
    "leased open elsewhere": lambda s: s.claim(by=s.other, lease=MINUTE),
    "open mine": lambda s: s.claim(),
    "leased open mine": lambda s: s.claim(lease=MINUTE),
    "completed mine": lambda s: _open(s, complete=True),
    "leased completed mine": lambda s: _open(s, MINUTE, complete=True),
    "done, never completed": lambda s: _open(s, commit=True),
    "done, bound": lambda s: _open(s, complete=True, commit=True),
    "done, leased": lambda s: _leased(s, s.complete),
    "past replay_for": lambda s: _past(s, "replay_until = clock_timestamp() - interval '1 second'"),
    "running": _leased,
    "abandoned": lambda s: _leased(s, columns=LEASE_OVER),
    "abandoned, checkpoint": lambda s: _leased(s, s.checkpoint, columns=LEASE_OVER),
    "abandoned, hold": lambda s: _leased(s, columns=LEASE_OVER, options=HOLD),
    "abandoned, forgettable": lambda s: _leased(s, columns=f"{LEASE_OVER}, {FORGETTABLE}"),
    "released": lambda s: _leased(s, s.release),
    "released, hold": lambda s: _leased(s, s.release, options=HOLD),
    "released, checkpoint": lambda s: _leased(s, s.checkpoint, s.release),
    "released, forgettable": lambda s: _leased(s, s.release, columns=FORGETTABLE),
    "checkpoint, forgettab.": lambda s: _leased(s, s.checkpoint, s.release, columns=FORGETTABLE),
    "past forget_at": lambda s: _past(s, FORGETTABLE),
    "taken over": _taken_over,
}


def call(stage: Stage, name: str) -> str:
    """Make one call in my session and say in a word what came of it."""
    key = {"key": stage.key, "token": stage.token}
    claim = f"select outcome from idemdb.claim('{SCOPE}', %(key)s, {{}}, null, '0')"
    state = f"select state from idemdb.lookup('{SCOPE}', %(key)s)"
    statements = {
        "claim": claim.format(FINGERPRINT),
        "other": claim.format(OTHER),
        "execute": f"select outcome from idemdb.execute('{SCOPE}', %(key)s, 'public.echo', '{ARGS}', '0')",
        "same": f"select idemdb.complete('{SCOPE}', %(key)s, %(token)s, {ANSWER})",
        "differ": f"select idemdb.complete('{SCOPE}', %(key)s, %(token)s, 500)",
        "renew": f"select idemdb.renew('{SCOPE}', %(key)s, %(token)s, '5 minutes')",
        "checkp.": f"select idemdb.checkpoint('{SCOPE}', %(key)s, %(token)s, 'shipped')",
        "release": f"select idemdb.release('{SCOPE}', %(key)s, %(token)s)",
        "done": f"select idemdb.resolve('{SCOPE}', %(key)s, 'completed', 'seen at the bank', '{{\"status\": 200}}')",
        "retry": f"select idemdb.resolve('{SCOPE}', %(key)s, 'retry', 'not at the bank')",
        "forget": f"select idemdb.resolve('{SCOPE}', %(key)s, 'forget', 'test data')",
        "sweep": "select count(*)::text from idemdb.sweep()",
    }
    try:
        row = stage.me.execute(statements[name], key).fetchone()
    except psycopg.Error as error:
        assert error.diag.message_hint, f"{error.sqlstate} without a HINT"
        return error.sqlstate or "no SQLSTATE"
    assert row is not None
    if name in ("same", "differ"):
        return "first" if stage.answered_at == row else "stored"
    if name in ("release", "sweep"):
        row = stage.me.execute(state, key).fetchone()
    return "works" if name in ("renew", "checkp.") else str(row[0] if row else None)


def test_the_table_names_every_state() -> None:
    """Each row of the table has a way to get there, and the other way round."""
    assert list(ROWS) == list(SETUPS)


@pytest.mark.parametrize("state", ROWS)
def test_state(state: str, dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]) -> None:
    """All calls of one row of the table."""
    stage = Stage(make_conn(dsn), make_conn(dsn))
    stage.me.execute("create function public.echo(jsonb) returns jsonb language sql as 'select $1'")
    stage.me.commit()
    found = {}
    for name in CALLS:
        stage.key = name
        stage.answered_at = None
        SETUPS[state](stage)
        found[name] = call(stage, name)
        stage.me.rollback()
        stage.other.rollback()
    assert found == dict(zip(CALLS, ROWS[state], strict=True))
