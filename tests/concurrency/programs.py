"""The programs that the explorer runs, for idemdb and for the wrong protocols (canaries) alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import checks
from .checks import CLAIM_LOST, STARTED
from .history import Check, Program, Session, Step

SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
INVALID = "ID004"

SETUP = """
    create table public.effect (session text, scope text, key text);
    create function public.pay(p_request jsonb) returns jsonb language sql as $$
        insert into public.effect
        select p_request ->> 'by', p_request ->> 'scope', p_request ->> 'key'
        returning pg_catalog.jsonb_build_object('by', session)
    $$;
    grant select, insert on public.effect to public;
"""
"""The effects table that the explorer reads, and the function that `execute` runs."""

COMMIT = Step("commit", ("commit",), recovers=True)
ROLLBACK = Step("rollback", ("rollback",), recovers=True)
SAVEPOINT = Step("savepoint", ("savepoint before",))
ROLLBACK_TO = Step("rollback to", ("rollback to savepoint before",), recovers=True)
EFFECT = Step("effect", ("insert into public.effect values (%(by)s, %(scope)s, %(key)s)",), when=STARTED)
_BEGIN = "begin"
_SNAPSHOT = "select 1 as snapshot"
_OTHER_KEY = "select %(other)s::text as key, %(key)s::text as other"
_HELD = "%(scope)s, %(key)s, %(claim_token)s"
_REQUEST = "pg_catalog.jsonb_build_object('by', %(by)s::text, 'scope', %(scope)s::text, 'key', %(key)s::text)"
_LOST = frozenset({CLAIM_LOST})
_WROTE = "select pg_catalog.pg_current_xact_id_if_assigned() is not null as wrote"


@dataclass(frozen=True)
class Verbs:
    """The steps that call a protocol, by the schema that it lives in."""

    schema: str

    def claim(self, *, opens: bool = True, first: str | None = None, fingerprint: str | None = None) -> Step:
        """Claim in a transaction that stays open, and note whether the transaction has written.

        :param opens: begin the transaction.
        :param first: a statement to run before the claim.
        :param fingerprint: SQL of the fingerprint.
        """
        opening = (_BEGIN,) if opens else ()
        return Step("claim", (*opening, *([first] if first else []), self._claim(fingerprint), _WROTE))

    def claim_leased(self) -> Step:
        """Claim in a transaction of its own."""
        return Step("claim", (self._claim(),))

    def claim_and_look(self) -> Step:
        """Claim in a transaction that is already open, with the time before it and the end of the lease."""
        return Step(
            "claim",
            (
                "select pg_catalog.clock_timestamp() as before_claim",
                self._claim(),
                f"select lease_until from {self.schema}.lookup(%(scope)s, %(key)s)",
            ),
        )

    def complete(self) -> Step:
        """Store an answer that names the session."""
        return Step("complete", (self._complete("claim_token"),), STARTED)

    def execute(self, *, opens: bool) -> Step:
        """Run the effect inside the database, in the caller's transaction or in one of its own."""
        call = (
            f"select * from {self.schema}.execute(%(scope)s, %(key)s, 'public.pay', {_REQUEST}, "
            '%(wait)s::interval, \'{"exclude": ["{by}"]}\')'
        )
        return Step("execute", (_BEGIN, call, _WROTE) if opens else (call,))

    def claim_like_execute(self) -> Step:
        """Claim with the fingerprint that :meth:`execute` uses."""
        return self.claim(fingerprint=f"{self.schema}.fingerprint({_REQUEST}, '{{\"{{by}}\"}}')")

    def call(self, name: str, arguments: str, when: frozenset[str] = frozenset()) -> Step:
        """Call another function of the protocol."""
        return Step(name, (f"select * from {self.schema}.{name}({arguments})",), when)

    def age(self) -> Step:
        """Let the lease of a committed claim run out."""
        return self._update(
            "lease_until = pg_catalog.clock_timestamp() - interval '1s'", "completed_at is null"
        )

    def outdate(self) -> Step:
        """Let the time come after which the key is forgotten."""
        past = "pg_catalog.clock_timestamp() - interval '1s'"
        return self._update(f"replay_until = {past}, forget_at = {past}", "lease_until is null")

    def work(self) -> tuple[Step, ...]:
        """Do the effect and complete in one transaction, as the holder of a leased claim does."""
        return Step("effect", (_BEGIN, *EFFECT.statements), STARTED), self.complete(), COMMIT

    def late_work(self) -> tuple[Step, ...]:
        """Do the same with the claim that was there first."""
        late = Step("late complete", (self._complete("first_claim_token"),))
        return Step("effect", (_BEGIN, *EFFECT.statements)), late, COMMIT

    def _complete(self, token: str) -> str:
        return (
            f"select {self.schema}.complete(%(scope)s, %(key)s, %({token})s, p_status => 200, "
            "p_result => pg_catalog.jsonb_build_object('by', %(by)s::text)) as completed"
        )

    def _claim(self, fingerprint: str | None = None) -> str:
        return (
            f"select * from {self.schema}.claim(%(scope)s, %(key)s, {fingerprint or '%(fingerprint)s'}, "
            "%(lease)s::interval, %(wait)s::interval, %(options)s::jsonb)"
        )

    def _update(self, what: str, where: str) -> Step:
        row = "scope = %(scope)s and key = %(key)s"
        return Step("age", (f"update {self.schema}.keys set {what} where {row} and {where}",))


def programs(schema: str = "idemdb", *, snapshot: bool = False) -> dict[str, Program]:
    """List the programs by name.

    :param schema: where the protocol's functions and its table ``keys`` live.
    :param snapshot: take the snapshot of each transaction in a step before its claim, and allow 40001: for
        REPEATABLE READ and SERIALIZABLE.
    """
    verbs = Verbs(schema)
    everything = [*_bound(verbs), *_leased(verbs), *_late(verbs), *_erased(verbs), *_several(verbs)]
    if schema == "idemdb":
        everything += [*_executed(verbs), *_resolved(verbs)]
    if snapshot:
        everything = [with_snapshots(program) for program in everything]
    return {program.name: program for program in everything}


def session(name: str, *steps: Step, **variables: object) -> Session:
    """Make a client that sends the usual request."""
    return Session(name, steps, _usual(name) | variables)


def owner(name: str, *steps: Step, **variables: object) -> Session:
    """Make a session that keeps the rights of the superuser."""
    return Session(name, steps, _usual(name) | variables, owner=True)


def bound(verbs: Verbs, end: Step = COMMIT) -> tuple[Step, ...]:
    """Claim, effect, complete and commit: everything in the caller's transaction."""
    return verbs.claim(), EFFECT, verbs.complete(), end


def leased(verbs: Verbs, *between: Step) -> tuple[Step, ...]:
    """Claim in a transaction of its own, then do the work in another."""
    return verbs.claim_leased(), *between, *verbs.work()


def _usual(name: str) -> dict[str, object]:
    return {"by": name, "fingerprint": b"same", "lease": None, "wait": "2s", "options": None, "outcome": None}


def _program(
    verbs: Verbs,
    name: str,
    *sessions: Session,
    before: Session | None = None,
    errors: frozenset[str] = frozenset(),
    spare: frozenset[Check] = frozenset(),
) -> Program:
    """Make a program to which a client comes back at the end with the same request."""
    return Program(
        name,
        sessions,
        checks=tuple(check for check in checks.ALL if check not in spare),
        before=before,
        after=session("Z", *bound(verbs), wait="0"),
        allowed_errors=errors,
    )


def _bound(verbs: Verbs) -> Iterator[Program]:
    one, two = session("A", *bound(verbs)), session("B", *bound(verbs))
    yield _program(verbs, "bound", one, two)
    yield _program(verbs, "bound, rolled back", session("A", *bound(verbs, ROLLBACK)), two)
    yield _program(verbs, "bound, impatient", one, session("B", *bound(verbs), *bound(verbs), wait="0"))
    yield _program(
        verbs,
        "bound, two of them impatient",
        *(replace(s, variables={**s.variables, "wait": "0"}) for s in (one, two)),
    )
    yield _program(verbs, "bound, other fingerprint", one, session("B", *bound(verbs), fingerprint=b"other"))
    yield _program(
        verbs,
        "bound, other fingerprint, rolled back",
        session("A", *bound(verbs, ROLLBACK)),
        session("B", *bound(verbs), *bound(verbs), fingerprint=b"other", wait="0"),
    )
    yield _program(verbs, "bound, never completed", session("A", verbs.claim(), EFFECT, COMMIT), two)
    yield _program(
        verbs,
        "bound, taken back",
        session("A", verbs.claim(), verbs.call("release", _HELD, STARTED), COMMIT),
        two,
    )
    again = verbs.claim(opens=False)
    rolled_back = (Step("begin", (_BEGIN,)), SAVEPOINT, again, EFFECT, verbs.complete(), ROLLBACK_TO)
    yield _program(
        verbs, "savepoint", session("A", *rolled_back, again, EFFECT, verbs.complete(), COMMIT), two
    )
    yield _program(verbs, "savepoint, given up", session("A", *rolled_back, COMMIT), two)


def _leased(verbs: Verbs) -> Iterator[Program]:
    hurry = {"lease": "60s", "wait": "0"}
    one, two = session("A", *leased(verbs), **hurry), session("B", *leased(verbs), **hurry)
    time = owner("X", verbs.age())
    yield _program(verbs, "leased", one, two)
    yield _program(verbs, "leased, lease over", one, two, time, errors=_LOST)
    yield _program(
        verbs,
        "leased, bound takeover",
        one,
        session("B", *bound(verbs), wait="0"),
        time,
        errors=_LOST,
    )
    yield _program(
        verbs,
        "leased, other fingerprint",
        one,
        session("B", *leased(verbs), **hurry, fingerprint=b"other"),
        time,
        errors=_LOST,
    )
    renew = verbs.call("renew", f"{_HELD}, '60s'", STARTED)
    yield _program(
        verbs, "leased, renewed", session("A", *leased(verbs, renew), **hurry), two, time, errors=_LOST
    )
    point = verbs.call("checkpoint", f"{_HELD}, 'charged', '{{}}'", STARTED)
    yield _program(
        verbs, "leased, checkpointed", session("A", *leased(verbs, point), **hurry), two, time, errors=_LOST
    )
    release = verbs.call("release", _HELD, STARTED)
    yield _program(verbs, "leased, released", session("A", verbs.claim_leased(), release, **hurry), two)
    yield _program(
        verbs,
        "leased, released late",
        session("A", verbs.claim_leased(), release, **hurry),
        two,
        time,
        errors=_LOST,
    )
    in_long_transaction = (Step("begin", (_BEGIN,)), verbs.claim_and_look(), COMMIT, *verbs.work())
    yield _program(verbs, "leased, long transaction", session("A", *in_long_transaction, **hurry), two)


def _late(verbs: Verbs) -> Iterator[Program]:
    """Takeovers of a claim whose holder has gone, or comes back."""
    hurry = {"lease": "60s", "wait": "0"}
    before = owner("P", verbs.claim_leased(), verbs.age(), lease="60s")
    one, two = session("A", *bound(verbs)), session("B", *bound(verbs))
    late = session("A", *verbs.late_work())
    yield _program(verbs, "takeover, bound", one, two, before=before)
    yield _program(verbs, "takeover, rolled back", session("A", *bound(verbs, ROLLBACK)), two, before=before)
    not_completed = (verbs.claim(), EFFECT, COMMIT)
    yield _program(verbs, "takeover, never completed", session("A", *not_completed), two, before=before)
    yield _program(
        verbs, "takeover, leased", *(session(name, *leased(verbs), **hurry) for name in "AB"), before=before
    )
    yield _program(
        verbs,
        "takeover, leased and bound",
        session("A", *leased(verbs), **hurry),
        session("B", *bound(verbs), wait="0"),
        before=before,
    )
    yield _program(verbs, "late holder, bound", late, two, before=before, errors=_LOST)
    yield _program(
        verbs,
        "late holder, twice",
        late,
        session("B", *verbs.late_work()),
        before=before,
        errors=_LOST,
        spare=frozenset({checks.a_holder_keeps_its_claim}),
    )
    released = owner("P", verbs.claim_leased(), verbs.call("release", _HELD), lease="60s")
    yield _program(
        verbs,
        "late holder, released",
        late,
        two,
        before=released,
        errors=_LOST,
        spare=frozenset({checks.a_holder_keeps_its_claim}),
    )
    yield _program(
        verbs, "late holder, leased", late, session("B", *leased(verbs), **hurry), before=before, errors=_LOST
    )


def _erased(verbs: Verbs) -> Iterator[Program]:
    """Sweep and forget beside claims. A key that was forgotten may run again."""
    hurry = {"lease": "60s", "wait": "0"}
    forgotten = frozenset({checks.an_effect_happens_once, checks.answers_agree})
    one, two = session("A", *bound(verbs)), session("B", *bound(verbs))
    sweep = verbs.call("sweep", "10000")
    yield _program(
        verbs,
        "sweep of running keys",
        *(session(name, *leased(verbs), **hurry) for name in "AB"),
        owner("X", sweep),
    )
    yield _program(
        verbs,
        "sweep of abandoned keys",
        session("A", *leased(verbs), **hurry),
        owner("X", verbs.age(), sweep),
        errors=_LOST,
    )
    yield _program(verbs, "sweep of old keys", one, two, owner("X", verbs.outdate(), sweep), spare=forgotten)
    forget = verbs.call("forget", "%(scope)s, %(key)s")
    yield _program(verbs, "forget", one, two, owner("X", forget), spare=forgotten)
    yield _program(
        verbs,
        "forget of leased keys",
        *(session(name, *leased(verbs), **hurry) for name in "AB"),
        owner("X", forget),
        spare=forgotten,
    )


def _several(verbs: Verbs) -> Iterator[Program]:
    """Several keys or scopes at once."""
    one, two = session("A", *bound(verbs)), session("B", *bound(verbs))
    elsewhere = (verbs.claim(first="select %(scope)s || ' 2' as scope"), *bound(verbs)[1:])
    yield _program(verbs, "two scopes", one, session("B", *elsewhere))
    other = verbs.claim(opens=False, first=_OTHER_KEY)
    crossed = (verbs.claim(first=_OTHER_KEY), EFFECT, other, EFFECT, COMMIT)
    yield _program(
        verbs,
        "two keys crossed",
        session("A", verbs.claim(), EFFECT, other, EFFECT, COMMIT),
        session("B", *crossed),
        errors=frozenset({DEADLOCK}),
    )
    yield _program(verbs, "three bound", one, two, session("C", *bound(verbs)))
    yield _program(
        verbs,
        "three bound, one rolled back",
        session("A", *bound(verbs, ROLLBACK)),
        two,
        session("C", *bound(verbs), wait="0"),
    )


def _executed(verbs: Verbs) -> Iterator[Program]:
    alone, inside = verbs.execute(opens=False), verbs.execute(opens=True)
    one = session("A", inside, COMMIT)
    yield _program(verbs, "execute", one, session("B", inside, COMMIT))
    yield _program(verbs, "execute, own transaction", one, session("B", alone, alone))
    yield _program(
        verbs, "execute, rolled back", session("A", inside, ROLLBACK), session("B", inside, COMMIT)
    )
    yield _program(verbs, "execute, impatient", one, session("B", inside, COMMIT, inside, COMMIT, wait="0"))
    bound_like = (verbs.claim_like_execute(), EFFECT, verbs.complete(), COMMIT)
    yield _program(verbs, "execute and claim", one, session("B", *bound_like))
    yield _program(
        verbs,
        "execute and claim, rolled back",
        session("A", *bound_like[:-1], ROLLBACK),
        session("B", inside, COMMIT),
    )
    yield _program(verbs, "three execute", one, session("B", alone), session("C", inside, ROLLBACK))


def _resolved(verbs: Verbs) -> Iterator[Program]:
    before = owner("P", verbs.claim_leased(), lease="60s", options='{"abandoned": "hold"}')
    late = session("A", *verbs.late_work())
    two = session("B", *leased(verbs), lease="60s", wait="0")
    errors = _LOST | {INVALID}
    for action, answer in (("retry", "null"), ("completed", """'{"status": 200, "result": {"by": "X"}}'""")):
        resolve = f"select {verbs.schema}.resolve(%(scope)s, %(key)s, '{action}', 'seen by hand', {answer})"
        by_hand = (
            Step("resolve", (_BEGIN, resolve, *(EFFECT.statements if action == "completed" else ()))),
            COMMIT,
        )
        yield _program(
            verbs,
            f"resolved: {action}",
            late,
            two,
            owner("X", verbs.age(), *by_hand),
            before=before,
            errors=errors,
            spare=frozenset({checks.a_holder_keeps_its_claim}),
        )
    resolve = f"select {verbs.schema}.resolve(%(scope)s, %(key)s, 'forget', 'seen by hand')"
    yield _program(
        verbs,
        "resolved: forget",
        late,
        two,
        owner("X", verbs.age(), Step("resolve", (resolve,))),
        before=before,
        errors=errors,
        spare=frozenset(
            {checks.an_effect_happens_once, checks.answers_agree, checks.a_holder_keeps_its_claim}
        ),
    )


def with_snapshots(program: Program) -> Program:
    """Begin each transaction and take its snapshot in a step of its own."""
    sessions = []
    for one in program.sessions:
        steps: list[Step] = []
        for step in one.steps:
            if step.statements[0] != _BEGIN or step.when:
                steps.append(step)
                continue
            steps.append(Step("begin", (_BEGIN, _SNAPSHOT)))
            if rest := step.statements[1:]:
                steps.append(replace(step, statements=rest))
        sessions.append(replace(one, steps=tuple(steps)))
    errors = program.allowed_errors | {SERIALIZATION_FAILURE}
    return replace(program, sessions=tuple(sessions), allowed_errors=errors)
