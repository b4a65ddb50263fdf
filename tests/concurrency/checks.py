"""What must be true of every history. Each check answers with the sentences that are wrong about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from .history import Event, Run

CLAIM_LOST = "ID003"
STARTED = frozenset({"started", "resumed"})
_ANSWERS = frozenset({"claim", "execute"})
_COMPLETIONS = frozenset({"complete", "late complete"})
_NEEDS_NO_WRITE = frozenset({"replayed", "mismatch", "in_progress", "expired", "unresolved"})


def outcomes_are_never_empty(run: Run) -> Iterator[str]:
    """Every call that does not raise answers one row with an outcome."""
    for event in run.events:
        if event.step.name in _ANSWERS and event.sqlstate is None and event.row.get("outcome") is None:
            yield f"{event.session} got no outcome"


def no_call_fails(run: Run) -> Iterator[str]:
    """Only the errors that the program announces are raised."""
    for event in run.events:
        if event.sqlstate and event.sqlstate not in run.program.allowed_errors:
            yield f"{event.session} {event.step.name} raised {event.sqlstate} {event.message}"


def an_effect_happens_once(run: Run) -> Iterator[str]:
    """At most one effect is committed per key; exactly one where a returning client hears that it is done."""
    effects: dict[tuple[object, object], list[object]] = defaultdict(list)
    for effect in run.effects:
        effects[effect["scope"], effect["key"]].append(effect["session"])
    for key, sessions in effects.items():
        if len(sessions) > 1:
            yield f"{key} has the effects of {sessions}"
    for event in run.events:
        if run.program.after and event.session == run.program.after.name and _is_success(event):
            key = event.variables["scope"], event.variables["key"]
            if not effects[key]:
                yield f"{key} was {event.row['outcome']} at the end, and has no effect"


def answers_agree(run: Run) -> Iterator[str]:
    """Everybody who succeeds with a key has the answer of the one session whose effect is there.

    The answer is empty only where the session did not complete.
    """
    effects = {(effect["scope"], effect["key"]): effect["session"] for effect in run.effects}
    completed = {(key, by) for key, who, by in _answers(run) if who == by}
    for key, who, by in _answers(run):
        if by != effects.get(key) and not (by is None and (key, effects.get(key)) not in completed):
            yield f"{who} has the answer of {by}, the effect is that of {effects.get(key)}"


def another_fingerprint_never_succeeds(run: Run) -> Iterator[str]:
    """All who succeed with a key sent the same fingerprint."""
    fingerprints: dict[tuple[object, object], set[object]] = defaultdict(set)
    for event in run.events:
        if event.step.name == "claim" and _is_success(event) and _lasts(run, event):
            key = event.variables["scope"], event.variables["key"]
            fingerprints[key].add(event.variables["fingerprint"])
    for key, found in fingerprints.items():
        if len(found) > 1:
            yield f"{key} succeeded with {len(found)} fingerprints"


def claim_tokens_grow(run: Run) -> Iterator[str]:
    """No claim token is handed out twice, and of those that lasted each is greater than the ones before."""
    used: dict[tuple[object, object], set[int]] = defaultdict(set)
    greatest: dict[tuple[object, object], int] = defaultdict(int)
    for event in run.events:
        token = event.row.get("claim_token")
        if (
            event.step.name != "claim"
            or event.row.get("outcome") not in STARTED
            or not isinstance(token, int)
        ):
            continue
        key = event.variables["scope"], event.variables["key"]
        if token in used[key]:
            yield f"{event.session} got the token {token} a second time"
        used[key].add(token)
        if _lasts(run, event):
            if token < greatest[key]:
                yield f"{event.session} got the token {token} after {greatest[key]}"
            greatest[key] = token


def a_late_holder_loses(run: Run) -> Iterator[str]:
    """No call of a holder succeeds with a claim token that is not the last one handed out."""
    for event, token, last in _calls_of_holders(run):
        if _lasts(run, event) and token != last:
            yield f"{event.session} {event.step.name} took the token {token}, the last is {last}"


def a_holder_keeps_its_claim(run: Run) -> Iterator[str]:
    """Who has the last claim token can complete."""
    for event, token, last in _calls_of_holders(run):
        if event.step.name in _COMPLETIONS and event.sqlstate == CLAIM_LOST and token == last:
            yield f"{event.session} lost the claim, and nobody has claimed since"


def replays_write_nothing(run: Run) -> Iterator[str]:
    """A call that starts nothing leaves its transaction without a transaction id."""
    written: dict[str, bool] = defaultdict(bool)
    for event in run.events:
        wrote = bool(event.row.get("wrote"))
        if event.row.get("outcome") in _NEEDS_NO_WRITE and wrote and not written[event.session]:
            yield f"{event.session} was {event.row['outcome']} and has a transaction id"
        written[event.session] = event.open and (wrote or written[event.session])


def leases_last_as_long_as_asked(run: Run) -> Iterator[str]:
    """A lease ends no earlier than the time before its claim plus what was asked for."""
    for event in run.events:
        if event.row.get("outcome") not in STARTED:
            continue
        until, before = event.row.get("lease_until"), event.row.get("before_claim")
        if isinstance(until, datetime) and isinstance(before, datetime):
            asked = timedelta(seconds=float(str(event.variables["lease"]).removesuffix("s")))
            if until < before + asked:
                yield f"{event.session} has a lease that is {before + asked - until} short"


ALL = (
    outcomes_are_never_empty,
    no_call_fails,
    an_effect_happens_once,
    answers_agree,
    another_fingerprint_never_succeeds,
    claim_tokens_grow,
    a_late_holder_loses,
    a_holder_keeps_its_claim,
    replays_write_nothing,
    leases_last_as_long_as_asked,
)


def _is_success(event: Event) -> bool:
    outcome = event.row.get("outcome")
    return event.step.name in _ANSWERS and (outcome == "replayed" or outcome in STARTED)


def _lasts(run: Run, event: Event) -> bool:
    """Tell whether what an event did was committed: nothing rolled it back, nor a savepoint before it."""
    if event.sqlstate or not event.open:
        return not event.sqlstate
    savepoints = 0
    for later in run.events[_position(run, event) + 1 :]:
        if later.session != event.session:
            continue
        savepoints += (later.step.name == "savepoint") - (later.step.name == "rollback to")
        if savepoints < 0:
            return False
        if not later.open:
            return later.tag == "COMMIT"
    return False


def _calls_of_holders(run: Run) -> Iterator[tuple[Event, object, object]]:
    """List each call with a token, that token, and the last one that was handed out for its key."""
    last: dict[object, object] = {}
    for event in run.events:
        key = event.variables.get("scope"), event.variables.get("key")
        if event.step.name == "claim" and event.row.get("outcome") in STARTED and _lasts(run, event):
            last[key] = event.row["claim_token"]
        elif event.step.name in {"complete", "renew", "checkpoint", "release"}:
            yield event, event.variables["claim_token"], last.get(key, event.variables["claim_token"])
        elif event.step.name == "late complete":
            yield event, event.variables["first_claim_token"], last[key]


def _position(run: Run, event: Event) -> int:
    return next(place for place, other in enumerate(run.events) if other is event)


def _answers(run: Run) -> Iterator[tuple[tuple[object, object], str, object]]:
    """List key, session and answer of each success: replays, and own answers that were committed."""
    for event in run.events:
        key = event.variables.get("scope"), event.variables.get("key")
        if event.step.name in _COMPLETIONS and _lasts(run, event):
            yield key, event.session, event.variables["by"]
        elif event.row.get("outcome") == "replayed" or (event.step.name == "execute" and _is_success(event)):
            result = event.row.get("result")
            if event.row["outcome"] == "replayed" or _lasts(run, event):
                yield key, event.session, result["by"] if isinstance(result, dict) else None
