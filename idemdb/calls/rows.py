"""The statements of the row verbs: which natural key, and the text for a table, its columns and the options.

In the statements t is the stored row and r the row given, whose columns are called "idemdb N" by their number
and whose keys that are expressions "idemdb kN": so the unqualified names in expressions of an index are t's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from idemdb.calls.catalogue import Described, Field, Key, quote
from idemdb.errors import InvalidArgument, NoNaturalKey
from idemdb.statement import Composed

Codec = Callable[[Any], Any] | None
_LEAVE_OUT = "leave it out, or correct its name; columns= says which are allowed"


@dataclass(frozen=True)
class Options:
    """The options of a verb; hashable, so that statements are found again."""

    index: str | None = None
    columns: tuple[str, ...] | None = None
    returning: tuple[str, ...] | None = None
    version: str | None = None
    expects: bool = False
    replace: bool = False
    stub: bool = False


@dataclass(frozen=True)
class Types:
    """How values of a table's columns travel over a driver, by the column's name.

    :param bind: makes of a value what the driver takes.
    :param read: makes of what the driver brings a value.
    :param text: columns that are read as text.
    :param extra: values of columns that are not given, for a new row: Python's own defaults.
    :param changes: the same for a row that is updated.
    """

    bind: Mapping[str, Codec]
    read: Mapping[str, Codec]
    text: frozenset[str] = frozenset()
    extra: Mapping[str, Callable[[], Any]] | None = None
    changes: Mapping[str, Callable[[], Any]] | None = None


@dataclass(frozen=True)
class Plan:
    """The statements of a verb for a table, columns and options; None where the verb has no such one."""

    key: Key
    given: tuple[str, ...]
    read: Composed
    insert: Composed | None
    change: Composed | None
    order: str
    source: str
    binds: tuple[tuple[str, Codec], ...]
    extras: tuple[tuple[str, Callable[[], Any], Codec], ...]
    record: tuple[tuple[str, Codec], ...]
    compared: tuple[str, ...]
    triggers: bool
    tombstone: str | None

    def params(self, values: Mapping[str, Any], expect: Any = None) -> tuple[Any, ...]:
        """Return the parameters for a row."""
        found = [values[name] if code is None else code(values[name]) for name, code in self.binds]
        for _, make, code in self.extras:
            found.append(make() if code is None else code(make()))
        if expect is not None:
            found.append(expect)
        return tuple(found)


def choose(table: Described, given: Sequence[str], index: str | None, *, exact: bool) -> Key:
    """Return the natural key that a call means.

    :param exact: whether exactly its columns must be given.
    :raises NoNaturalKey: where none fits, or several do.
    """
    reasons = {key: _misfit(key, given, exact=exact) for key in table.keys}
    meant = list(table.keys)
    if index is not None:
        wanted = index.replace('"', "")
        meant = [key for key in table.keys if wanted in (key.name, f"{key.schema}.{key.name}")]
    fit = [key for key in meant if reasons[key] is None]
    if len(fit) == 1:
        return fit[0]
    told = "; ".join(
        f"{key.name} ({', '.join(key.columns)})" + (f": {why}" if why else "") for key, why in reasons.items()
    )
    hint = "give all columns of a valid unique index that is not deferrable, or create one"
    if fit:
        what, hint = "several natural keys of {} fit the columns given", "name one of them as index="
    elif index is None:
        what = "no natural key of {} fits the columns given"
    else:
        what = f"{index} is no natural key of {{}} for this call"
    raise NoNaturalKey(f"{what.format(table.name)}: {told or 'it has none'}", hint=hint)


def _misfit(key: Key, given: Sequence[str], *, exact: bool) -> str | None:
    """Say why a key cannot be meant."""
    if key.unfit:
        return key.unfit
    for name in key.columns:
        if name not in given:
            return f"{name} is not given"
    for name in given if exact else ():
        if name not in key.columns:
            return f"{name} is no column of it"
    return None


def _check(table: Described, given: Sequence[str], options: Options) -> None:
    """Refuse tables and columns that cannot be written."""
    if table.unfit:
        raise InvalidArgument(table.unfit[0], hint=table.unfit[1])
    for name in given:
        field = table.fields.get(name)
        why = None
        if field is None:
            why = f'table {table.name} has no column "{name}"'
        elif field.generated or field.identity == "a":
            why = f'column "{name}" of {table.name} is generated always'
        elif options.columns is not None and name not in options.columns:
            why = f'column "{name}" of {table.name} is not allowed'
        if why:
            raise InvalidArgument(why, hint=_LEAVE_OUT)
    for name in (*(options.returning or ()), *(options.columns or ()), *filter(None, [options.version])):
        if name not in table.fields:
            raise InvalidArgument(
                f'table {table.name} has no column "{name}", which an option names',
                hint="correct columns, returning or version",
            )
    if options.version is not None and options.version not in given:
        raise InvalidArgument(
            f'the row has no column "{options.version}", which version names',
            hint="give the version of the row with it",
        )


def plan(verb: str, table: Described, given: tuple[str, ...], options: Options, types: Types) -> Plan:
    """Build the statements of a verb.

    :raises InvalidArgument: for a table or columns that cannot be written.
    :raises NoNaturalKey: where no natural key fits, or several do.
    """
    _check(table, given, options)
    key = choose(table, given, options.index, exact=verb == "delete")
    return _Builder(verb, table, given, options, types, key).plan()


class _Builder:
    """Puts the texts together."""

    def __init__(
        self, verb: str, table: Described, given: tuple[str, ...], options: Options, types: Types, key: Key
    ) -> None:
        self.verb, self.table, self.given, self.options, self.types, self.key = (
            verb,
            table,
            given,
            options,
            types,
            key,
        )
        self.tombstone = key.tombstone
        if self.tombstone is not None and self.tombstone not in table.fields:
            raise NoNaturalKey(
                f'the comment of index {key.name} names a tombstone column "{self.tombstone}", which is not'
                " there",
                hint="add the column, or write the comment again with COMMENT ON INDEX",
            )
        self.extra = {
            name: make
            for name, make in (types.extra or {}).items()
            if name not in given and verb in ("create", "put")
        }
        self.changes = {
            name: make
            for name, make in (types.changes or {}).items()
            if name not in given and name not in key.columns and verb == "put"
        }
        self.plain = {part.column for part in key.parts if part.column}
        self._source()
        self._matches()

    def value(self, name: str) -> str:
        """Return the given value of a column."""
        return f'r."idemdb {self.table.fields[name].number}"'

    def _source(self) -> None:
        """Make r, with one parameter for each value."""
        fields, extras = self.table.fields, []
        inner, outer = [], []
        for name in (*self.given, *self.extra):
            inner.append(f"{self.parameter(fields[name])} as {quote(name)}")
            outer.append(f'n.{quote(name)} as "idemdb {fields[name].number}"')
        for name in self.changes:
            inner.append(f'{self.parameter(fields[name])} as "idemdb u{fields[name].number}"')
            extras.append(f'n."idemdb u{fields[name].number}"')
        if self.options.expects and self.options.version:
            inner.append(f'{self.parameter(fields[self.options.version])} as "idemdb expect"')
            extras.append('n."idemdb expect"')
        keys = [
            f'({part.expression}) as "idemdb k{number}"'
            for number, part in enumerate(self.key.parts)
            if part.expression
        ]
        self.source = (
            f"(select {', '.join([*outer, *keys, *extras])} from (select {', '.join(inner)}) as n) as r"
        )

    def parameter(self, field: Field) -> str:
        """Return SQL of a value that is given. JSON goes as text, whatever codecs a connection has."""
        given = "\0::text" if field.base in ("json", "jsonb") else "\0"
        return f"cast({given} as {field.type})"

    def _matches(self) -> None:
        """Make the match of t with r, and the question whether a key of r is null."""
        matches, nulls, order, arbiter = [], [], [], []
        for number, part in enumerate(self.key.parts):
            stored = f"t.{quote(part.column)}" if part.column else f"({part.expression})"
            ours = f'r."idemdb k{number}"' if part.expression else self.value(part.column or "")
            equal = f"{stored} {part.equals} {ours}{part.collation}"
            if self.key.nulls_are_equal:
                equal = f"({equal} or {stored} is null and {ours} is null)"
            else:
                nulls.append(f"{ours} is null")
            matches.append(equal)
            order.append(f'{ours}::text collate pg_catalog."C"')
            arbiter.append(quote(part.column) if part.column else f"({part.expression})")
        if self.key.predicate:
            matches.append(self.key.predicate)
        self.matches = " and ".join(matches)
        self.null = " or ".join(nulls) or "false"
        self.order = ", ".join(order)
        # The predicate as a literal: with parameters it would match no partial index in a generic plan.
        where = f" where {self.key.predicate}" if self.key.predicate else ""
        self.arbiter = f"({', '.join(arbiter)}){where}"

    def outside(self, *, stored: bool) -> str:
        """Return SQL that is true where the row lies outside of the predicate of a partial index."""
        if not self.key.predicate or (
            self.verb == "delete" and not set(self.key.predicate_columns) <= set(self.given)
        ):
            return "false"
        values = []
        for name in self.key.predicate_columns:
            field = self.table.fields[name]
            new = (
                self.value(name)
                if name in self.given or name in self.extra
                else f"cast({(None if field.generated else field.default) or 'null'} as {field.type})"
            )
            if stored and name not in self.given:
                new = f'case when f."idemdb found" then t.{quote(name)} else {new} end'
            values.append(f"{new} as {quote(name)}")
        return f"(select {self.key.predicate} from (select {', '.join(values)}) as p) is not true"

    def differ(self, name: str, value: str) -> str:
        """Return SQL that is true where the stored value is another one. Text is compared byte by byte."""
        field = self.table.fields[name]
        stored = f"t.{quote(name)}"
        if field.equals is None or name in self.key.columns or name in self.plain:
            equal = f'({stored})::text collate pg_catalog."C" operator(pg_catalog.=) ({value})::text'
        else:
            equal = f"{stored} {field.equals} {value}"
        return f"not coalesce({equal}, pg_catalog.num_nulls({stored}, {value}) operator(pg_catalog.=) 2)"

    def record(self) -> list[str]:
        """Return the columns of the record, as t has them, followed by one for each that can differ."""
        names = self.options.returning if self.options.returning is not None else tuple(self.table.fields)
        self.names = names
        read = [f"t.{quote(name)}" + ("::text" if name in self.types.text else "") for name in names]
        return [*read, *(self.differ(name, self.value(name)) for name in self.given)]

    def settings(self) -> tuple[list[str], list[str]]:
        """Return what a put sets, and what of it says that it is to be set."""
        sets, differ = [], []
        for name in self.given:
            if name not in self.key.columns:
                sets.append(f"{quote(name)} = {self.value(name)}")
                differ.append(self.differ(name, self.value(name)))
        for name, field in self.table.fields.items() if self.options.replace else ():
            if self._replaceable(name, field):
                made = f"cast({field.default or 'null'} as {field.type})"
                sets.append(f"{quote(name)} = default")
                differ.append(self.differ(name, made))
        for name in self.changes if sets else ():
            sets.append(f'{quote(name)} = r."idemdb u{self.table.fields[name].number}"')
        return sets, differ

    def _replaceable(self, name: str, field: Field) -> bool:
        """Say whether a column that is not given goes back to its default: clocks and identities stay."""
        allowed = self.options.columns is None or name in self.options.columns
        kept = name in self.given or name in self.key.columns or name in self.plain
        born = name in self.table.primary or field.generated or bool(field.identity) or not field.steady
        return allowed and not kept and not born and name != self.tombstone

    def plan(self) -> Plan:
        """Return the statements."""
        record, table = ", ".join(self.record()), self.table.name
        sets, differ = self.settings()
        differs = " or ".join(differ) or "false"
        guards = self._guards()
        verdict = self._verdict(differs, guards)
        found = (
            f'{self.source} left join ({table} as t cross join (select true) as f ("idemdb found"))'
            f" on {self.matches}"
        )
        read = f"select {verdict}, {record} from {found}"
        insert = self._insert()
        change = None
        live = [self.matches, *([f"t.{quote(self.tombstone)} is null"] if self.tombstone else [])]
        if self.verb == "put" and sets:
            where = " and ".join([*live, f"({differs})", *guards])
            change = (
                f"update {table} as t set {', '.join(sets)} from {self.source}"
                f" where {where} returning 'updated', {record}"
            )
        elif self.verb == "delete" and self.tombstone:
            change = (
                f"update {table} as t set {quote(self.tombstone)} = pg_catalog.clock_timestamp()"
                f" from {self.source} where {' and '.join(live)} returning 'deleted', {record}"
            )
        elif self.verb == "delete":
            change = (
                f"delete from {table} as t using {self.source}"
                f" where {self.matches} returning 'deleted', {record}"
            )
        bind, fields = self.types.bind, tuple(self.names)
        return Plan(
            self.key,
            self.given,
            Composed(self.verb, read),
            Composed(self.verb, insert) if insert else None,
            Composed(self.verb, change) if change else None,
            self.order,
            self.source,
            tuple((name, bind.get(name)) for name in self.given),
            tuple(
                (name, make, bind.get(name)) for name, make in (*self.extra.items(), *self.changes.items())
            ),
            tuple((name, self.types.read.get(name)) for name in fields),
            self.given,
            self.table.triggers,
            self.tombstone,
        )

    def _guards(self) -> list[str]:
        """Return what a put demands of the stored version."""
        version = self.options.version
        if version is None:
            return []
        stored, field = f"t.{quote(version)}", self.table.fields[version]
        guards = [f"coalesce({stored} < {self.value(version)}, {self.value(version)} is not null)"]
        if self.options.expects:
            guards.append(f'coalesce({stored} {field.equals or "="} r."idemdb expect", false)')
        return guards

    def _verdict(self, differs: str, guards: Sequence[str]) -> str:
        """Return SQL of what a read finds."""
        gone = f"when t.{quote(self.tombstone)} is not null then " if self.tombstone else ""
        cases = [
            f"when {self.null} then 'null key'",
            f"when {self.outside(stored=True)} then 'outside'",
        ]
        if self.options.version:
            cases.append(f"when {self.value(self.options.version)} is null then 'null version'")
        if self.verb == "delete":
            cases += ["when f.\"idemdb found\" is null then 'insert'", gone + "'absent'" if gone else ""]
            cases += ["else 'change'"]
        else:
            absent = "absent" if self.options.expects else "insert"
            cases += [f"when f.\"idemdb found\" is null then '{absent}'", gone + "'gone'" if gone else ""]
            if self.verb == "create":
                cases += ["else 'existing'"]
            else:
                cases += [f"when not ({differs}) then 'unchanged'"]
                cases += [f"when not ({' and '.join(guards)}) then 'stale'"] if guards else []
                cases += ["else 'change'"]
        return f"case {' '.join(cases)} end"

    def _insert(self) -> str | None:
        """Return the statement for a new row. It reads first, which spares repeats sequence and trigger."""
        names = [*self.given, *self.extra]
        values = [self.value(name) for name in names]
        if self.verb == "delete":
            if not (self.options.stub and self.tombstone):
                return None
            names, values = [*names, self.tombstone], [*values, "pg_catalog.clock_timestamp()"]
        elif self.options.expects:
            return None
        version = self.options.version
        missing = f" and {self.value(version)} is not null" if version else ""
        columns = ", ".join(quote(name) for name in names)
        returned = ", ".join(
            f"t.{quote(name)}" + ("::text" if name in self.types.text else "") for name in self.names
        )
        return (
            f"insert into {self.table.name} as t ({columns}) select {', '.join(values)} from {self.source}"
            f" where not ({self.null}){missing} and not ({self.outside(stored=False)})"
            f" and not exists (select from {self.table.name} as t where {self.matches})"
            f" on conflict {self.arbiter} do nothing returning {', '.join(filter(None, ['true', returned]))}"
        )
