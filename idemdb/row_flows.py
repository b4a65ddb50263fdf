"""The row verbs as flows: SELECT, INSERT … ON CONFLICT DO NOTHING and UPDATE, in a bounded loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from idemdb.calls.catalogue import Described, describe, secured
from idemdb.calls.row_types import PLAIN, Target, types_of
from idemdb.calls.rows import Options, Plan, plan
from idemdb.drivers.base import AUTOCOMMITS, Do, Flow
from idemdb.errors import HiddenRow, IdemError, InvalidArgument, RowContended
from idemdb.flows import inside
from idemdb.results import RowResult
from idemdb.statement import Call, Composed, Rows

_ATTEMPTS = 5
_CHUNK = 500
_PREPARE = Do("prepare")
Progress = Callable[[int, int], object]


def names(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names as a part of the options."""
    return None if columns is None else tuple(getattr(column, "key", column) for column in columns)


def checked(options: Options) -> Options:
    """Refuse options that say nothing together."""
    if options.expects and options.version is None:
        raise InvalidArgument("expect needs version", hint="name the column that expect is the value of")
    return options


def target(driver: Any, table: Any) -> Target:
    """Return the table that a caller named, over a driver."""
    dialect, database, session = driver.place()
    return Target(table, PLAIN.get(dialect, dialect), database, session)


def one_row(
    verb: str, target: Target, values: Mapping[Any, Any], options: Options, expect: Any = None
) -> Flow[RowResult[Any]]:
    """Do a verb with one row."""
    if target.session is not None:
        yield _PREPARE
    named = target.named(values)
    table = yield from _table(target)
    found = _planned(verb, target, table, named, options)
    return (yield from _done(verb, target, table, found, found.params(named, expect), 1))


def many_rows(
    verb: str,
    target: Target,
    rows: Sequence[Mapping[Any, Any]],
    options: Options,
    progress: Progress | None,
) -> Flow[list[RowResult[Any]]]:
    """Do a verb with each row, in the order of their keys; an outcome for each position."""
    if not rows:
        return []
    flow = _batch(verb, target, rows, options, progress)
    if (yield AUTOCOMMITS):
        return (yield from inside(flow))
    return (yield from flow)


def _batch(
    verb: str,
    target: Target,
    rows: Sequence[Mapping[Any, Any]],
    options: Options,
    progress: Progress | None,
) -> Flow[list[RowResult[Any]]]:
    """Find the order and the repeated keys in the database, then do the rows one after the other."""
    if target.session is not None:
        yield _PREPARE
    table = yield from _table(target)
    work = []
    for row in rows:
        named = target.named(row)
        found = _planned(verb, target, table, named, options)
        work.append((found, found.params(named)))
    order = yield from _ordered(work)
    answers: dict[int, RowResult[Any]] = {}
    winners = dict(order) if verb == "put" else {}
    late = []
    for done, (group, item) in enumerate(order, 1):
        found, params = work[item]
        if verb == "put" and winners[group] != item:
            late.append((found, params, item))
        else:
            answers[item] = yield from _done(verb, target, table, found, params, item + 1)
        if progress is not None and (done % _CHUNK == 0 or done == len(order)):
            progress(done, len(order))
    for found, params, item in late:
        # What a later position has overwritten, unless it says the same.
        read = yield Call(found.read, params, list)
        answer = _result(target, found, read[0][0], read[0], item + 1)
        if answer.outcome != "gone":
            answer = replace(answer, outcome="stale" if answer.differs else "unchanged")
        answers[item] = answer
    return [answers[item] for item in range(len(rows))]


def _ordered(work: Sequence[tuple[Plan, tuple[Any, ...]]]) -> Flow[list[tuple[int, int]]]:
    """Return (key, item) in the order of the keys' text, collate "C", as the SQL verbs take them."""
    keys: list[tuple[Any, ...]] = []
    for start in range(0, len(work), _CHUNK):
        chunk = work[start : start + _CHUNK]
        selects: list[str] = []
        params: list[Any] = []
        for number, (found, values) in enumerate(chunk, start):
            selects.append(f"select {number}, {found.order} from {found.source}")
            params += values
        text = f"select * from ({' union all '.join(selects)}) as k"
        keys += yield Call(Composed("order", text), tuple(params), list)
    sortable = sorted(
        (tuple((key is None, "" if key is None else key.encode()) for key in row[1:]), row[0]) for row in keys
    )
    order, group, before = [], -1, None
    for key, item in sortable:
        group += key != before
        before = key
        order.append((group, item))
    return order


def _table(target: Target) -> Flow[Described]:
    """Return what is known of the table, from the catalogue at its first use."""
    known = target.known()
    if known is None:
        known = yield describe(target.name)
        target.learn(known)
    return known


def _planned(verb: str, target: Target, table: Described, named: Mapping[str, Any], options: Options) -> Plan:
    """Return the statements for a row, built at their first use."""
    given = (verb, tuple(named), options)
    found: Plan | None = table.plans.get(given)
    if found is None:
        found = plan(verb, table, tuple(named), options, types_of(target, table))
        if len(table.plans) > 1000:
            table.plans.clear()
        table.plans[given] = found
    return found


def _done(
    verb: str, target: Target, table: Described, found: Plan, params: tuple[Any, ...], item: int
) -> Flow[RowResult[Any]]:
    """Do the statements until one of them decides."""
    try:
        if verb == "delete":
            return (yield from _deleted(target, table, found, params, item))
        return (yield from _written(target, table, found, params, item))
    except IdemError:
        raise
    except Exception as error:
        # The table may have changed since it was read.
        if getattr(error, "sqlstate", None) or getattr(error, "orig", None):
            target.forget()
        raise


def _written(
    target: Target, table: Described, found: Plan, params: tuple[Any, ...], item: int
) -> Flow[RowResult[Any]]:
    """Create or put a row."""
    for _ in range(_ATTEMPTS):
        if found.insert is not None:
            made: Rows = yield Call(found.insert, params, list)
            if made:
                if not found.triggers:
                    return _result(target, found, "created", made[0], item, agree=True)
                made = yield Call(found.read, params, list)
                return _result(target, found, "created", made[0], item)
        read = yield Call(found.read, params, list)
        verdict = read[0][0]
        _refuse(found, verdict)
        if verdict == "change" and found.change is not None:
            made = yield Call(found.change, params, list)
            if made:
                return _result(target, found, "updated", made[0], item)
        elif verdict != "insert":
            if verdict == "absent":
                return RowResult(item, "stale", None, ())
            return _result(target, found, verdict, read[0], item)
    raise (yield from _contended(table))


def _deleted(
    target: Target, table: Described, found: Plan, params: tuple[Any, ...], item: int
) -> Flow[RowResult[Any]]:
    """Delete a row, or set its tombstone."""
    assert found.change is not None, "a delete has a statement"
    for _ in range(_ATTEMPTS):
        made = yield Call(found.change, params, list)
        if made:
            target.deleted(found, made[0])
            return _result(target, found, "deleted", made[0], item, empty=found.tombstone is None, agree=True)
        read = yield Call(found.read, params, list)
        verdict = read[0][0]
        _refuse(found, verdict)
        if verdict == "insert" and found.insert is not None:
            if (yield Call(found.insert, params, list)):
                verdict = "absent"
            else:
                continue
        if verdict in ("insert", "absent"):
            return RowResult(item, "absent", None, ())
    raise (yield from _contended(table))


def _refuse(found: Plan, verdict: str) -> None:
    """Raise what a read found wrong with the row given."""
    if verdict == "null key":
        columns = ", ".join(found.key.columns)
        raise InvalidArgument(
            f"a column of the natural key {found.key.name} ({columns}) is null",
            hint="give every column of the natural key a value, or make its index NULLS NOT DISTINCT",
        )
    if verdict == "null version":
        raise InvalidArgument("the version of the row is null", hint="give the version of the row with it")
    if verdict == "outside":
        raise InvalidArgument(
            f"the row lies outside of the predicate of {found.key.name}: {found.key.predicate}",
            hint="give values inside of the predicate, or name another natural key as index=",
        )


def _contended(table: Described) -> Flow[Exception]:
    """Return the error for a row that cannot be decided: it is hidden, or changes all the time."""
    if (yield secured(table)):
        return HiddenRow(hint="row-level security hides a row with this key from your role")
    return RowContended(hint="repeat the transaction; idemdb.retry does")


def _result(
    target: Target,
    found: Plan,
    outcome: Any,
    row: Sequence[Any],
    item: int,
    *,
    empty: bool = False,
    agree: bool = False,
) -> RowResult[Any]:
    """Read a row: the outcome, the record, and which columns differ."""
    values = {
        name: value if code is None or value is None else code(value)
        for (name, code), value in zip(found.record, row[1:], strict=False)
    }
    differs: tuple[str, ...] = ()
    if not agree:
        flags = row[1 + len(found.record) :]
        differs = tuple(target.key(name) for name, flag in zip(found.compared, flags, strict=True) if flag)
    return RowResult(item, outcome, None if empty else target.record(values), () if empty else differs)
