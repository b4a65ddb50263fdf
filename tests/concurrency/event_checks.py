"""What must be true of every history of events, streams, versions, steps and messages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from .checks import CLAIM_LOST
from .history import Event, Run

_CALLS = frozenset({"process", "process_many", "process_failed", "process_offsets", "advance", "add", "take"})
_NEEDS_NO_WRITE = frozenset({"duplicate", "dead", "too_old", "stale", "existing", "mismatch"})


def every_call_answers(run: Run) -> Iterator[str]:
    """Every call that does not raise answers an outcome."""
    for event in run.events:
        if event.step.name in _CALLS and event.sqlstate is None and not event.row.get("outcome"):
            yield f"{event.session} {event.step.name} got no outcome"


def a_repeat_writes_nothing(run: Run) -> Iterator[str]:
    """A call that finds nothing to do leaves its transaction without a transaction id."""
    written: dict[str, bool] = defaultdict(bool)
    for event in run.events:
        wrote = bool(event.row.get("wrote"))
        if event.row.get("outcome") in _NEEDS_NO_WRITE and wrote and not written[event.session]:
            yield f"{event.session} was {event.row['outcome']} and has a transaction id"
        written[event.session] = event.open and (wrote or written[event.session])


def it_is_handled_at_most_once(run: Run) -> Iterator[str]:
    """No event, offset or foreign call has two effects."""
    for what, sessions in _effects(run).items():
        if len(sessions) > 1:
            yield f"{what} has the effects of {sessions}"


def it_is_handled_at_least_once(run: Run) -> Iterator[str]:
    """What somebody asked for has an effect at the end, unless it was given up."""
    effects = _effects(run)
    for event in run.events:
        for what in str(event.variables.get("wanted") or "").split():
            if event.row.get("outcome") != "dead" and not effects[what]:
                yield f"{what} has no effect at the end"
                return


def what_is_dead_was_not_handled(run: Run) -> Iterator[str]:
    """An event is dead, or it has an effect."""
    if _effects(run)["event"] and run.events[-1].row.get("outcome") == "dead":
        yield "the event is dead and has an effect"


def every_failure_counts(run: Run) -> Iterator[str]:
    """Two failures of an event that may fail once kill it."""
    failures = [event for event in run.events if event.step.name == "process_failed" and not event.sqlstate]
    if (
        len(failures) > 1
        and not _effects(run)["event"]
        and "dead" not in {event.row["outcome"] for event in failures}
    ):
        yield f"{len(failures)} failures, and the event lives"


def versions_grow(run: Run) -> Iterator[str]:
    """Each version that is applied is greater than those applied before it."""
    pending: dict[str, list[int]] = defaultdict(list)
    newest = None
    for event in run.events:
        version = event.variables.get("version")
        if event.row.get("outcome") == "applied" and isinstance(version, int):
            pending[event.session].append(version)
        if not event.open:
            applied = pending.pop(event.session, [])
            for committed in applied if event.tag != "ROLLBACK" and not event.sqlstate else []:
                if newest is not None and committed <= newest:
                    yield f"version {committed} was applied after {newest}"
                newest = committed


def a_dedup_key_is_added_once(run: Run) -> Iterator[str]:
    """Of all who add one dedup key and commit, one has added it, all who are told so have its payload."""
    added: dict[object, list[Event]] = defaultdict(list)
    for event in run.events:
        if event.step.name == "add" and event.row.get("outcome") == "added" and _commits(run, event):
            added[event.variables["dedup"]].append(event)
    for key, events in added.items():
        if len(events) > 1:
            yield f"{key} was added by {[event.session for event in events]}"
    for event in run.events:
        (first,) = added.get(event.variables.get("dedup"), [None])[:1]
        if (
            event.step.name != "add"
            or first is None
            or event.row.get("outcome") not in {"existing", "mismatch"}
        ):
            continue
        same = event.variables["payload"] == first.variables["payload"]
        if (event.row["outcome"] == "existing") != same:
            yield f"{event.session} was told {event.row['outcome']}"


def what_was_added_is_delivered(run: Run) -> Iterator[str]:
    """Every message whose transaction was committed goes out, in the end."""
    for event in run.events:
        added = event.step.name == "add" and event.row.get("outcome") == "added" and _commits(run, event)
        if added and not _effects(run)[str(event.variables["dedup"])]:
            yield f"{event.variables['dedup']}, added by {event.session}, was never delivered"


def a_late_taker_loses(run: Run) -> Iterator[str]:
    """Nobody finishes or gives back a message that another one took since."""
    last: dict[object, object] = {}
    for event in run.events:
        if event.step.name == "take" and event.row.get("outcome") == "taken":
            last[event.row["id"]] = event.row["claim_token"]
        elif event.step.name in {"done", "retry"} and not event.sqlstate:
            mine = event.variables["claim_token"]
            if last[event.variables["id"]] != mine:
                yield f"{event.session} {event.step.name} with the token {mine}, which is not the last"


def a_taker_keeps_its_message(run: Run) -> Iterator[str]:
    """Who has the last token can finish."""
    last: dict[object, object] = {}
    finished = set()
    for event in run.events:
        if event.step.name == "take" and event.row.get("outcome") == "taken":
            last[event.row["id"]] = event.row["claim_token"]
        elif event.step.name in {"done", "retry"}:
            lost = event.sqlstate == CLAIM_LOST
            held = last.get(event.variables["id"]) == event.variables["claim_token"]
            if lost and held and event.variables["id"] not in finished:
                yield f"{event.session} lost a message that nobody took since"
            finished |= set() if lost else {event.variables["id"]}


def a_group_keeps_its_order(run: Run) -> Iterator[str]:
    """Messages of a group are delivered one after the other, as they were added."""
    delivered: dict[object, list[int]] = defaultdict(list)
    for event in run.events:
        if event.step.name == "deliver":
            delivered[event.variables["group_key"]].append(int(str(event.variables["id"])))
    for group, ids in delivered.items():
        if group is not None and ids != sorted(ids):
            yield f"group {group} was delivered in the order {ids}"


def _effects(run: Run) -> dict[str, list[object]]:
    """List who had an effect, by what comes after the run's scope, which is the event where nothing does."""
    effects: dict[str, list[object]] = defaultdict(list)
    for effect in run.effects:
        effects[str(effect["scope"]).partition("/")[2] or "event"].append(effect["session"])
    return effects


def _commits(run: Run, event: Event) -> bool:
    """Tell whether the transaction that an event belongs to was committed."""
    if not event.open:
        return not event.sqlstate
    place = next(place for place, other in enumerate(run.events) if other is event)
    rest = (later for later in run.events[place:] if later.session == event.session and not later.open)
    end = next(rest, None)
    return end is not None and end.tag == "COMMIT"


def deliveries(run: Run) -> Counter[object]:
    """Count how often each message was delivered."""
    return Counter(event.variables["id"] for event in run.events if event.step.name == "deliver")


def it_is_delivered_once_while_leases_last(run: Run) -> Iterator[str]:
    """A message is delivered again only where its lease ran out or it was given back."""
    over = sum(event.step.name in {"run out", "retry"} for event in run.events)
    for message, times in deliveries(run).items():
        if times > 1 + over:
            yield f"message {message} was delivered {times} times"


def it_was_called(run: Run) -> Iterator[str]:
    """Who comes back at the end and gets on can rely on the foreign call."""
    if not run.effects:
        yield "it is done, and the service was never called"
