"""Programs of leased runs that call a service which no transaction undoes."""

from __future__ import annotations

from collections.abc import Iterator

from . import checks
from . import event_checks as mine
from .history import Check, Program, Step
from .programs import EFFECT, Verbs, owner, session

HOLD = '{"abandoned": "hold"}'

_VERBS = Verbs("idemdb")
_LOST = frozenset({checks.CLAIM_LOST})
# Who resumes has the service's answer, which was remembered at the recovery point.
_CALL = Step("call", EFFECT.statements, frozenset({"started"}))


def steps(*, remembered_first: bool = False) -> tuple[Step, ...]:
    """Claim with a lease, call the service, remember its answer at a recovery point, complete.

    :param remembered_first: wrong: the recovery point comes before the call.
    """
    held = "%(scope)s, %(key)s, %(claim_token)s"
    point = _VERBS.call("checkpoint", f"{held}, 'called', '{{}}'", frozenset({"started"}))
    answer = "p_result => pg_catalog.jsonb_build_object('by', %(by)s::text)"
    complete = _VERBS.call("complete", f"{held}, {answer}", checks.STARTED)
    return _VERBS.claim_leased(), *((point, _CALL) if remembered_first else (_CALL, point)), complete


def step_programs(*, hold: bool, remembered_first: bool = False) -> Iterator[Program]:
    """Run steps by several holders, whose leases run out at any time; one of them vanishes.

    :param hold: the policy under which the service is called at most once; at least once otherwise.
    """
    usual = {"lease": "60s", "wait": "0", "options": HOLD if hold else None}
    run = steps(remembered_first=remembered_first)
    two, over = session("B", *run, **usual), owner("X", _VERBS.age())
    promise = mine.it_is_handled_at_most_once if hold else mine.it_was_called
    promises: tuple[Check, ...] = (checks.no_call_fails, promise)
    after = session("Z", _VERBS.age(), *run, **usual)
    policy = "hold" if hold else "retry"
    for name, all_of_it in ((f"steps, {policy}", run), (f"steps, {policy}, vanished", run[:2])):
        yield Program(name, (session("A", *all_of_it, **usual), two, over), promises, None, after, _LOST)
