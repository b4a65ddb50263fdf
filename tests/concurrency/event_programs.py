"""Programs of events, streams, versions and messages, for idemdb and for wrong protocols (canaries)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import checks
from . import event_checks as mine
from .history import Program, Session, Step
from .programs import COMMIT, ROLLBACK, owner, session, with_snapshots
from .step_programs import step_programs

_BEGIN = "begin"
_WROTE = "select pg_catalog.pg_current_xact_id_if_assigned() is not null as wrote"
_NEW = frozenset({"first_seen"})
_APPLIED = frozenset({"applied"})
_TAKEN = frozenset({"taken"})
_LOST = frozenset({checks.CLAIM_LOST})
_TOPIC = "%(scope)s || ' ' || %(key)s"
_EFFECT = "insert into public.effect values (%(by)s, %(scope)s, %(key)s)"

_ALWAYS = (checks.no_call_fails, mine.every_call_answers)
_ONCE = (
    *_ALWAYS,
    mine.it_is_handled_at_most_once,
    mine.it_is_handled_at_least_once,
    mine.a_repeat_writes_nothing,
)
_MESSAGES = (
    *_ALWAYS,
    mine.a_dedup_key_is_added_once,
    mine.a_late_taker_loses,
    mine.a_taker_keeps_its_message,
    mine.a_group_keeps_its_order,
    mine.it_is_delivered_once_while_leases_last,
    mine.what_was_added_is_delivered,
)


@dataclass(frozen=True)
class EventVerbs:
    """The steps that call a protocol for events and messages, by the schema that it lives in."""

    schema: str

    def process(self, *, opens: bool = True) -> Step:
        """Process the event in a transaction that stays open."""
        call = f"select {self.schema}.process(%(scope)s, %(key)s) as outcome"
        return Step("process", (*((_BEGIN,) if opens else ()), call, _WROTE))

    def inbox(self, end: Step = COMMIT) -> tuple[Step, ...]:
        """Process the event and handle it in the same transaction."""
        return self.process(), Step("effect", (_EFFECT,), _NEW), end

    def batch(self, events: str, end: Step = COMMIT) -> tuple[Step, ...]:
        """Process a batch and handle what is new of it.

        :param events: names of events, which stand for ids of this run.
        """
        ids = ", ".join(f"%(key)s || '{event}'" for event in events.split())
        call = f"""
            with o as (select * from {self.schema}.process_many(%(scope)s, array[{ids}])),
            e as (
                insert into public.effect
                select %(by)s, %(scope)s || '/' || pg_catalog.right(o.event_id, 1), %(key)s from o
                where o.outcome = 'first_seen'
            )
            select pg_catalog.string_agg(o.outcome, ' ' order by o.item) as outcome from o
        """
        return Step("process_many", (_BEGIN, call)), end

    def one_of_batch(self, event: str, end: Step = COMMIT) -> tuple[Step, ...]:
        """Process one of the batch's events alone."""
        call = f"select {self.schema}.process(%(scope)s, %(key)s || '{event}') as outcome"
        effect = f"insert into public.effect values (%(by)s, %(scope)s || '/{event}', %(key)s)"
        return Step("process", (_BEGIN, call)), Step("effect", (effect,), _NEW), end

    def failed(self) -> Step:
        """Count a failure in a transaction of its own."""
        return Step(
            "process_failed", (f"select {self.schema}.process_failed(%(scope)s, %(key)s, 'boom') as outcome",)
        )

    def offsets(self, numbers: str, end: Step = COMMIT) -> tuple[Step, ...]:
        """Process offsets and handle the new ones."""
        call = f"""
            with o as (
                select * from pg_catalog.unnest(
                    {self.schema}.process_offsets(%(scope)s, %(key)s, array[{numbers}]::bigint[])
                ) as number
            ),
            e as (insert into public.effect select %(by)s, %(scope)s || '/' || number, %(key)s from o)
            select 'new: ' || coalesce(pg_catalog.string_agg(number::text, ' '), 'none') as outcome from o
        """
        return Step("process_offsets", (_BEGIN, call)), end

    def advance(self, version: int, end: Step = COMMIT) -> tuple[Step, ...]:
        """Advance the entity and handle what is newer."""
        call = f"""
            select {self.schema}.advance(%(scope)s, %(key)s, {version}) as outcome,
                {version}::bigint as version
        """
        effect = f"insert into public.effect values (%(by)s, %(scope)s || '/v{version}', %(key)s)"
        return Step("advance", (_BEGIN, call, _WROTE)), Step("effect", (effect,), _APPLIED), end

    def add(
        self, dedup: str, payload: str = "1", group: str = "null", end: Step = COMMIT
    ) -> tuple[Step, ...]:
        """Add a message in a transaction that stays open for a step."""
        call = f"""
            select outcome, id, '{dedup}' as dedup, '{payload}' as payload
            from {self.schema}.outbox_add({_TOPIC}, '{dedup}', '{payload}', p_group => {group})
        """
        return Step("add", (_BEGIN, call, _WROTE)), end

    def take(self) -> Step:
        """Take a message and commit."""
        call = f"""
            select coalesce(max('taken'), 'none') as outcome, max(id) as id, max(claim_token) as claim_token,
                max(dedup_key) as dedup, max(group_key) as group_key
            from {self.schema}.outbox_take({_TOPIC}, 1, '60s')
        """
        return Step("take", (call,))

    def deliver(self) -> tuple[Step, ...]:
        """Deliver what was taken, which cannot be undone, and finish it."""
        effect = "insert into public.effect values (%(by)s, %(scope)s || '/' || %(dedup)s, %(key)s)"
        return Step("deliver", (effect,), _TAKEN), self.done()

    def done(self) -> Step:
        """Finish the message."""
        call = f"select {self.schema}.outbox_done({_TOPIC}, %(claim_token)s, array[%(id)s]::bigint[])"
        return Step("done", (call,), _TAKEN)

    def retry(self) -> Step:
        """Give the message back."""
        call = f"select {self.schema}.outbox_retry({_TOPIC}, %(claim_token)s, %(id)s, '0', 'boom')"
        return Step("retry", (call,), _TAKEN)

    def run_out(self) -> Step:
        """Let every lease of the topic run out."""
        update = f"""
            update {self.schema}.outbox_messages
            set lease_until = pg_catalog.clock_timestamp() - interval '1s'
            where topic = {_TOPIC} and lease_until is not null
        """
        return Step("run out", (update,))

    def sweep_dedup_keys(self) -> Step:
        """Let the time come after which dedup keys are forgotten, and sweep."""
        update = f"""
            update {self.schema}.outbox_keys set forget_at = pg_catalog.clock_timestamp() - interval '1s'
            where topic = {_TOPIC}
        """
        return Step("sweep", (update, f"select {self.schema}.sweep()"))


def event_programs(schema: str = "idemdb", *, snapshot: bool = False) -> dict[str, Program]:
    """List the programs by name, as :func:`.programs.programs` does."""
    verbs = EventVerbs(schema)
    everything = [*_inbox(verbs), *_outbox(verbs)]
    if schema == "idemdb":
        everything += [
            *_streams(verbs),
            *_dead(verbs),
            *_swept(verbs),
            *_outbox_only(verbs),
            *step_programs(hold=True),
            *step_programs(hold=False),
        ]
    if snapshot:
        everything = [with_snapshots(program) for program in everything]
    return {program.name: program for program in everything}


def _wanted(one: Session, what: str) -> Session:
    """Let a session say what must have been handled when it is through."""
    return replace(one, variables={**one.variables, "wanted": what})


def _known(verbs: EventVerbs, settings: str = "{}") -> Session:
    """Make the consumer known, so that no other call has to note it."""
    call = f"select {verbs.schema}.configure('consumer', %(scope)s, '{settings}')"
    return owner("P", Step("configure", (call,)))


def _inbox(verbs: EventVerbs) -> Iterator[Program]:
    one, two = session("A", *verbs.inbox()), session("B", *verbs.inbox())
    rolled_back = session("A", *verbs.inbox(ROLLBACK))
    after = _wanted(session("Z", *verbs.inbox()), "event")
    known = _known(verbs)
    yield Program("inbox", (one, two), _ONCE, known, after)
    yield Program("inbox, rolled back", (rolled_back, two), _ONCE, known, after)
    yield Program("three inbox", (one, two, session("C", *verbs.inbox())), _ONCE, known, after)
    # Two that wait for one that rolls back begin to insert both at once: the loser has a transaction id.
    racing = tuple(check for check in _ONCE if check is not mine.a_repeat_writes_nothing)
    third = session("C", *verbs.inbox(ROLLBACK))
    yield Program("three inbox, rolled back", (one, two, third), racing, known, after)
    savepoint = (
        Step("savepoint", (_BEGIN, "savepoint before")),
        verbs.process(opens=False),
        Step("effect", (_EFFECT,), _NEW),
        Step("rollback to", ("rollback to savepoint before",)),
        verbs.process(opens=False),
        Step("effect", (_EFFECT,), _NEW),
        COMMIT,
    )
    yield Program("inbox, savepoint", (session("A", *savepoint), two), _ONCE, known, after)
    all_three = _wanted(session("Z", *verbs.batch("a b c")), "a b c")
    yield Program(
        "batches", (session("A", *verbs.batch("a b")), session("B", *verbs.batch("b a"))), _ONCE, known,
        _wanted(session("Z", *verbs.batch("a b")), "a b"),
    )  # fmt: skip
    yield Program(
        "batches, rolled back",
        (session("A", *verbs.batch("a b c", ROLLBACK)), session("B", *verbs.batch("c b a b"))),
        _ONCE, known, all_three,
    )  # fmt: skip
    # The third makes one of the batches wait in the middle of its work.
    for end in (COMMIT, ROLLBACK):
        yield Program(
            f"batches crossed behind a third: {end.name}",
            (
                session("H", *verbs.one_of_batch("b", end)),
                session("A", *verbs.batch("a b c")),
                session("B", *verbs.batch("c a")),
            ),
            _ONCE,
            known,
            all_three,
        )


def _outbox(verbs: EventVerbs) -> Iterator[Program]:
    added = owner("P", *verbs.add("m"))
    relay = (verbs.take(), *verbs.deliver())
    one, two = session("A", *relay), session("B", *relay)
    after = session("Z", *relay, *relay)
    over = owner("X", verbs.run_out())
    yield Program("outbox", (one, two), _MESSAGES, added, after)
    yield Program("outbox, lease over", (one, two, over), _MESSAGES, added, _late(after, verbs), _LOST)
    producers = (session("A", *verbs.add("m")), session("B", *verbs.add("n")))
    consumer = session("R", *relay, *relay)
    yield Program("outbox, producers", (*producers, consumer), _MESSAGES, after=session("Z", *relay * 3))
    yield Program(
        "outbox, producer rolled back",
        (session("A", *verbs.add("m", end=ROLLBACK)), session("B", *verbs.add("m")), consumer),
        _MESSAGES,
        after=after,
    )


def _late(after: Session, verbs: EventVerbs) -> Session:
    """Come back when every lease is over, as a relay would that waits."""
    return replace(after, steps=(verbs.run_out(), *after.steps))


def _outbox_only(verbs: EventVerbs) -> Iterator[Program]:
    relay = (verbs.take(), *verbs.deliver())
    after = session("Z", *relay * 3)
    same = (session("A", *verbs.add("m")), session("B", *verbs.add("m")), session("C", *verbs.add("m", "2")))
    yield Program("outbox, one dedup key", same[:2], _MESSAGES, after=after)
    yield Program("outbox, two payloads", same[1:], _MESSAGES, after=after)
    yield Program("outbox, three add", same, _MESSAGES, after=after)
    added = owner("P", *verbs.add("m"))
    give_back = session("A", verbs.take(), verbs.retry(), verbs.take(), *verbs.deliver())
    two = session("B", *relay)
    over = owner("X", verbs.run_out())
    late = _late(after, verbs)
    yield Program("outbox, retried", (give_back, two), _MESSAGES, added, after, _LOST)
    yield Program("outbox, retried late", (give_back, two, over), _MESSAGES, added, late, _LOST)
    group = owner("P", *verbs.add("m", group="'g'"), *verbs.add("n", group="'g'"), *verbs.add("o"))
    yield Program("outbox, group", (session("A", *relay), session("B", *relay)), _MESSAGES, group, after)
    yield Program(
        "outbox, group twice", (session("A", *relay * 2), session("B", *relay)), _MESSAGES, group, after
    )
    yield Program("outbox, group retried", (give_back, two), _MESSAGES, group, after)
    sweep = owner("X", verbs.sweep_dedup_keys())
    adding = session("A", *verbs.add("m"), *verbs.add("m", "2"))
    yield Program("outbox, swept while it waits", (adding, sweep), _MESSAGES, added, after)
    # A dedup key that was forgotten may be added again.
    yield Program("outbox, swept", (adding, two, sweep), _ALWAYS, added, after)


def _streams(verbs: EventVerbs) -> Iterator[Program]:
    everything = _wanted(session("Z", *verbs.offsets("1,2,3,4")), "1 2 3 4")
    known = _known(verbs)
    for name, end in (("offsets", COMMIT), ("offsets, rolled back", ROLLBACK)):
        sessions = (session("A", *verbs.offsets("1,2,3", end)), session("B", *verbs.offsets("4,3,2")))
        yield Program(name, sessions, _ONCE, known, everything)
    three = (
        session("A", *verbs.offsets("1,3")),
        session("B", *verbs.offsets("2,3")),
        session("C", *verbs.offsets("1,2")),
    )
    yield Program("three offsets", three, _ONCE, known, everything)
    versions = (
        *_ALWAYS,
        mine.versions_grow,
        mine.it_is_handled_at_most_once,
        mine.it_is_handled_at_least_once,
    )
    last = _wanted(session("Z", *verbs.advance(2)), "v2")
    for name, end in (("advance", COMMIT), ("advance, rolled back", ROLLBACK)):
        sessions = (session("A", *verbs.advance(1)), session("B", *verbs.advance(2, end)))
        yield Program(name, sessions, versions, known, last)
    three = (
        session("A", *verbs.advance(1)),
        session("B", *verbs.advance(2)),
        session("C", *verbs.advance(1)),
    )
    yield Program("three advance", three, versions, known, last)
    both = (session("A", *verbs.advance(1), *verbs.advance(2)), session("B", *verbs.advance(2)))
    yield Program("advance twice", both, versions, known, last)


def _dead(verbs: EventVerbs) -> Iterator[Program]:
    may_fail = (
        *_ALWAYS,
        mine.it_is_handled_at_most_once,
        mine.what_is_dead_was_not_handled,
        mine.every_failure_counts,
    )
    failing = (*verbs.inbox(ROLLBACK), verbs.failed())
    after = session("Z", *verbs.inbox())
    for attempts in (1, 2):
        known = _known(verbs, f'{{"max_attempts": {attempts}}}')
        succeeds = session("B", *verbs.inbox())
        yield Program(
            f"failure and success, {attempts}", (session("A", *failing), succeeds), may_fail, known, after
        )
        two = (session("A", *failing), session("B", *failing))
        yield Program(f"two failures, {attempts}", two, may_fail, known, after)
    in_long_transactions = (Step("begin", (_BEGIN,)), verbs.failed(), verbs.failed(), COMMIT)
    known = _known(verbs, '{"max_attempts": 2}')
    yield Program(
        "failures in one transaction",
        (session("A", *in_long_transactions), session("B", *verbs.inbox())),
        may_fail,
        known,
        after,
    )
    replayed = owner("X", Step("dead_letter", (
        f"select {verbs.schema}.dead_letter('consumer', %(scope)s, %(key)s, 'replay')",
    )))  # fmt: skip
    known = _known(verbs, '{"max_attempts": 1}')
    yield Program(
        "replayed letter",
        (session("A", *verbs.inbox()), session("B", *verbs.inbox()), replayed),
        (*_ALWAYS, mine.it_is_handled_at_most_once),
        replace(known, steps=(*known.steps, verbs.failed())),
        after,
    )


def _swept(verbs: EventVerbs) -> Iterator[Program]:
    one, two = session("A", *verbs.inbox()), session("B", *verbs.inbox())
    after, known = _wanted(session("Z", *verbs.inbox()), "event"), _known(verbs)
    sweep = Step("sweep", (f"select {verbs.schema}.sweep()",))
    yield Program("sweep of events", (one, two, owner("X", sweep)), _ONCE, known, after)
    past = "pg_catalog.clock_timestamp() - interval '1s'"
    outdate = Step("outdate", (f"""
        update {verbs.schema}.inbox set forget_at = {past}
        where event_key = {verbs.schema}._event_key(%(scope)s, %(key)s)
    """,))  # fmt: skip
    # An event that was forgotten may be handled again.
    yield Program("sweep of old events", (one, two, owner("X", outdate, sweep)), _ALWAYS, known, after)
    batches = (session("A", *verbs.batch("a b")), session("B", *verbs.batch("b a")))
    yield Program("sweep of batches", (*batches, owner("X", sweep)), _ONCE, known, None)
