"""A client that is killed on its way: runs the first steps of a flow, and then waits for its end.

Usage: ``python -m tests.concurrency.client DSN FLOW STEPS``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import dict_row

from .checks import STARTED
from .event_programs import EventVerbs
from .history import Step
from .programs import COMMIT, EFFECT, Verbs, bound, leased, session
from .step_programs import HOLD, steps

VERBS = Verbs("idemdb")
EVENT_VERBS = EventVerbs("idemdb")

FLOWS: dict[str, tuple[Step, ...]] = {
    "bound": bound(VERBS),
    "leased": leased(
        VERBS, VERBS.call("checkpoint", "%(scope)s, %(key)s, %(claim_token)s, 'charging'", STARTED)
    ),
    "execute": (VERBS.execute(opens=True), COMMIT),
    "execute, own transaction": (VERBS.execute(opens=False),),
}
"""The ways to run work once. ``execute`` has a fingerprint of its own, so it is not mixed with the others."""

_ADD, _COMMIT = EVENT_VERBS.add("m")
EVENT_FLOWS: dict[str, tuple[Step, ...]] = {
    "inbox": EVENT_VERBS.inbox(),
    "batch": EVENT_VERBS.batch("a b"),
    "add": (_ADD, Step("effect", EFFECT.statements, frozenset({"added"})), _COMMIT),
    "relay": (EVENT_VERBS.take(), *EVENT_VERBS.deliver()),
    "steps, retry": steps(),
    "steps, hold": steps(),
}
"""The ways to handle an event, and to cause an effect elsewhere."""

Connection = psycopg.Connection[dict[str, Any]]


class Client:
    """A session that runs steps on a connection, as the explorer's do, but alone."""

    def __init__(self, name: str, connection: Connection, **variables: object) -> None:
        self.connection = connection
        usual: dict[str, Any] = {"scope": "s", "key": "k", "lease": "60s", "wait": "10s"}
        self.variables = {**session(name).variables, **usual, **variables}

    def run(self, steps: Iterable[Step]) -> None:
        """Run the steps whose turn comes.

        :raises psycopg.Error: whatever a statement raises.
        """
        for step in steps:
            if step.when and self.variables["outcome"] not in step.when:
                continue
            if (
                step is COMMIT
                and self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            ):
                continue
            for statement in step.statements:
                cursor = self.connection.execute(statement, self.variables)
                if cursor.description and (row := cursor.fetchone()):
                    self.variables.update(row)


def connect(dsn: str) -> Connection:
    """Connect as clients of the flows do: they begin and commit themselves."""
    return psycopg.connect(dsn, autocommit=True, row_factory=dict_row)


def variables_of(flow: str) -> dict[str, object]:
    """Say what the flow's claims ask for."""
    if flow.startswith("steps"):
        return {"wait": "0", "options": HOLD if flow == "steps, hold" else None}
    return {} if flow == "leased" else {"lease": None}


def main(dsn: str, flow: str, count: int) -> None:
    """Run the first steps, say so, and wait."""
    Client("A", connect(dsn), **variables_of(flow)).run((FLOWS | EVENT_FLOWS)[flow][:count])
    print("here", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
