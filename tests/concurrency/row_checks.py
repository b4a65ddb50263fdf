"""What must be true of every history of the row verbs.

The main check looks for a serial order: each call that was committed is put somewhere on a line, so that a
small model of the verbs, run along the line, gives every outcome, record and difference that was told, and
ends in the rows that are stored. A call comes after all that was committed before it began.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .history import Event, Run

_NEEDS_NO_WRITE = frozenset({"existing", "unchanged", "stale", "gone", "absent"})


@dataclass(frozen=True)
class Row:
    """A row as the model has it.

    :param life: its identity; None where nobody was told.
    """

    life: int | None
    value: str | None
    rev: int
    gone: bool = False


@dataclass(frozen=True)
class Call:
    """A call, or a position of a batch, with what it asked for and was told.

    :param began: how many events of the history were over when it began, at the latest.
    :param ended: the position of the event that ended its transaction.
    """

    session: str
    table: str
    asked: Mapping[str, Any]
    answer: Mapping[str, Any]
    began: int
    ended: int = -1

    def __str__(self) -> str:
        return f"{self.session} {self.asked['verb']} {self.answer['outcome']}"


def every_call_answers(run: Run) -> Iterator[str]:
    """Every call that does not raise answers an outcome for each of its rows."""
    for event in run.events:
        if "asked" not in event.row or event.sqlstate:
            continue
        answers = event.row["answers"]
        asked = event.row["asked"]
        assert isinstance(asked, list)
        if not isinstance(answers, list) or [a.get("outcome") for a in answers].count(None):
            yield f"{event.session} {event.step.name} got no outcome"
        elif len(answers) != len(asked):
            yield f"{event.session} {event.step.name} got {len(answers)} outcomes for {len(asked)} rows"


def a_row_is_created_once(run: Run) -> Iterator[str]:
    """Nobody is told `created` of a row that another one created, unless it went away in between."""
    yield from _lives(run, "created", lambda before, went: 1 - before + went)


def a_row_is_deleted_once(run: Run) -> Iterator[str]:
    """Nobody is told `deleted` of a row that another one deleted, unless it was created in between."""
    yield from _lives(run, "deleted", lambda before, came: before + came)


def a_repeat_writes_nothing(run: Run) -> Iterator[str]:
    """A call that finds nothing to do, and waited for nobody, leaves its transaction without an id."""
    written: dict[str, bool] = defaultdict(bool)
    for event in run.events:
        wrote, outcome = bool(event.row.get("wrote")), event.row.get("outcome")
        stub = any(asked["options"].get("stub") for asked in _list(event, "asked"))
        quiet = outcome in _NEEDS_NO_WRITE and not (stub and outcome == "absent") and not event.waited
        if quiet and wrote and not written[event.session]:
            yield f"{event.session} was {outcome} and has a transaction id"
        written[event.session] = (
            event.open
            and (event.step.name != "begin")
            and (wrote or event.waited or outcome not in _NEEDS_NO_WRITE or written[event.session])
        )


def some_order_explains_it(run: Run) -> Iterator[str]:
    """Some serial order of the calls gives every answer and the rows that are stored at the end."""
    stored = [_stored(event) for event in run.events if event.step.name == "state"]
    first, last = (stored[0] if len(stored) > 1 else {}), stored[-1]
    committed, undone = _calls(run)
    for key in sorted({call.asked["key"] for call in committed + undone} | set(first) | set(last)):
        if len(last.get(key, [])) > 1:
            yield f"the row {key} is stored {len(last[key])} times"
            continue
        one = next(iter(first.get(key, [])), None)
        end = next(iter(last.get(key, [])), None)
        mine = [call for call in committed if call.asked["key"] == key]
        theirs = [call for call in undone if call.asked["key"] == key]
        if not _orders(one, mine, theirs, end, [one]):
            yield f"no order of {', '.join(map(str, mine))} explains the row {key}: {one} became {end}"


def step(row: Row | None, call: Call) -> tuple[bool, Row | None]:
    """Run the model: tell whether the call's answer is right for the row, and what the row is then."""
    asked, options = call.asked, call.asked["options"]
    outcome, after = _result(row, asked, options, call)
    if outcome != call.answer["outcome"]:
        return False, row
    if asked["verb"] == "away" or (asked["verb"] == "delete" and (after is None or outcome == "absent")):
        return True, after
    told = call.answer.get("record")
    if after is None:
        return told is None, after
    if told is None or not _is(after, told):
        return False, row
    if outcome != "gone" and asked["verb"] != "delete":
        differs = (asked["value"] != after.value) == ("value" in call.answer["differs"])
        if not differs or (
            "rev" in asked and (asked["rev"] != after.rev) != ("rev" in call.answer["differs"])
        ):
            return False, row
    return True, replace(after, life=told["id"])


def _result(
    row: Row | None, asked: Mapping[str, Any], options: Mapping[str, Any], call: Call
) -> tuple[str, Row | None]:
    """Say what DESIGN says that the outcome is, and the row after it."""
    verb, value, rev = asked["verb"], asked.get("value"), asked.get("rev")
    if verb == "away":
        return ("none", None) if row is None else ("away", None)
    if verb == "delete":
        keeps = call.table == "row_tomb"
        if row is None:
            return "absent", Row(None, None, 0, gone=True) if options.get("stub") else None
        if row.gone:
            return "absent", row
        return "deleted", replace(row, gone=True) if keeps else None
    if row is None:
        if "expect" in options:
            return "stale", None
        return "created", Row(None, value, rev or 0)
    if row.gone:
        return "gone", row
    if verb == "create":
        return "existing", row
    same = row.value == value and rev in (None, row.rev)
    if same:
        return "unchanged", row
    if rev is not None and (rev <= row.rev or options.get("expect", row.rev) != row.rev):
        return "stale", row
    return "updated", replace(row, value=value, rev=row.rev if rev is None else rev)


def _is(row: Row, told: Mapping[str, Any]) -> bool:
    """Tell whether a record is that row."""
    return (
        row.life in (None, told["id"])
        and row.value == told["value"]
        and row.rev == told["rev"]
        and row.gone == (told.get("deleted_at") is not None)
    )


def _orders(
    row: Row | None, left: Sequence[Call], undone: Sequence[Call], end: Row | None, seen: Sequence[Row | None]
) -> bool:
    """Try every order of the calls that are left."""
    if not left:
        ends = end == row or (row is not None and end == replace(row, life=end.life if end else None))
        if row is not None and row.life is not None and end is not None and row.life != end.life:
            return False
        return ends and all(any(step(state, call)[0] for state in seen) for call in undone)
    for place, call in enumerate(left):
        rest = [*left[:place], *left[place + 1 :]]
        mine_first = any(other.session == call.session for other in left[:place])
        if mine_first or any(other.ended < call.began for other in rest):
            continue
        right, after = step(row, call)
        if right and _orders(after, rest, undone, end, [*seen, after]):
            return True
    return False


def _calls(run: Run) -> tuple[list[Call], list[Call]]:
    """List the calls that were committed, and those that were rolled back, each in its session's order."""
    table = run.program.name.partition(":")[0]
    committed: list[Call] = []
    undone: list[Call] = []
    running: dict[str, list[Call]] = defaultdict(list)
    mark: dict[str, int] = {}
    start: dict[str, int] = {}
    latest: dict[str, int] = defaultdict(int)
    for place, event in enumerate(run.events):
        who = event.session
        if event.step.name == "begin":
            start[who] = place
        if event.step.name == "savepoint":
            mark[who] = len(running[who])
        if event.step.name == "rollback to":
            undone += running[who][mark[who] :]
            del running[who][mark[who] :]
        began = start.get(who, latest[who] if event.waited else place)
        if not event.sqlstate:
            running[who] += [
                Call(who, table, asked, answer, began)
                for asked, answer in zip(_list(event, "asked"), _list(event, "answers"), strict=False)
            ]
        latest[who] = place
        if not event.open:
            calls = [replace(call, ended=place) for call in running.pop(who, [])]
            start.pop(who, None)
            (undone if event.sqlstate or event.tag == "ROLLBACK" else committed).extend(calls)
    # What is rolled back after calls of its own transaction saw those: the line of the others does not.
    alone = Counter(call.session for call in undone)
    return committed, [call for call in undone if alone[call.session] == 1]


def _lives(run: Run, outcome: str, allowed: Any) -> Iterator[str]:
    """Count the lives of each row that began, and that ended, in what was committed."""
    (first, *_), committed = (
        [_stored(event) for event in run.events if event.step.name == "state"],
        _calls(run)[0],
    )
    there = first if run.program.before and len(run.program.before.steps) > 1 else {}
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for call in committed:
        told[call.asked["key"]][call.answer["outcome"]] += 1
    for key, count in told.items():
        before = int(any(not row.gone for row in there.get(key, [])))
        opposite = count["created"] if outcome == "deleted" else count["deleted"] + count["away"]
        if count[outcome] > max(allowed(before, opposite), 0):
            who = [call.session for call in committed if call.answer["outcome"] == outcome]
            yield f"the row {key} was {outcome} by {who}"


def _stored(event: Event) -> dict[str, list[Row]]:
    """Read the rows of a look at the table, by the name of their key."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in _list(event, "stored"):
        gone = row.get("deleted_at") is not None
        found[row["code"][-1].lower()].append(Row(row["id"], row["value"], row["rev"], gone))
    return found


def _list(event: Event, column: str) -> list[Any]:
    value = event.row.get(column)
    return value if isinstance(value, list) else []
