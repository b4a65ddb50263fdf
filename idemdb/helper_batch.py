"""The bodies of the typed helpers for many rows: create_many, put_many.

Every statement works on all rows that are still to be settled, in the order of their keys, so that two
batches never wait for each other crosswise: rows are inserted in that order, locked in that order, and only
then updated.
"""

from __future__ import annotations

from dataclasses import dataclass

from idemdb.helper_body import ATTEMPTS, check_inside, give_up, outside, refuse_null
from idemdb.helper_parts import Parts, quoted

_SETTLED = """\
            v_state[v_item] := 0;
            v_left := v_left - 1;
"""


@dataclass(frozen=True)
class _Batch:
    """The rows that were given, as SQL.

    :param values: of the parameters in a row ``r``.
    :param keys: of the elements of the natural key in a row ``r``.
    :param rows: what to put behind FROM: the rows as ``r``.
    """

    parts: Parts
    values: tuple[str, ...]
    keys: tuple[str, ...]
    rows: str

    @property
    def order(self) -> str:
        """Return the order in which rows are locked, the same in every door to the table."""
        return ", ".join(f'({key})::pg_catalog.text collate pg_catalog."C"' for key in self.keys)

    @property
    def groups(self) -> str:
        """Return what rows of one key have in common."""
        elements = zip(self.keys, self.parts.key.elements, strict=True)
        return ", ".join(key + (f" collate {e.collation}" if e.collation else "") for key, e in elements)


def body(parts: Parts, verb: str) -> str:
    """Return the body of a function.

    :param parts: of its table, natural key and columns.
    :param verb: create or put.
    """
    batch = _batch(parts)
    return f"""\
#variable_conflict use_column
<<given>>
declare
{_arrays(parts)}\
    v_first integer[]; -- by position: that of the row of the same key that counts
    v_same boolean[]; -- by position: whether it has the content of that row
    v_state integer[]; -- by position: 0 settled or not counted, 1 to be written, 2 there with another content
    v_left integer;
    v_item integer;
    v_inside boolean;
    v_outcomes text[];
    v_records jsonb[];
begin
{_check_arrays(parts)}\
{_check_rows(batch)}\
{_group(batch, verb)}\
    for v_attempt in 1..{ATTEMPTS} loop
        exit when v_left = 0;
        if v_attempt > 1 then
            v_state := array(
                select least(u.s, 1)
                from pg_catalog.unnest(given.v_state) with ordinality as u (s, n) order by u.n
            );
        end if;
{_read(batch, verb)}\
{_insert(batch)}\
{_update(batch) if verb == "put" and parts.put else ""}\
    end loop;
    if v_left > 0 then
{_deeper(give_up(parts))}\
    end if;
{_answer(verb)}\
end
"""


def _group(batch: _Batch, verb: str) -> str:
    """Return what finds the rows that count: the first of a key for create, the last for put."""
    parts = batch.parts
    window = f"(partition by {batch.groups} order by r.idemdb_item{' desc' if verb == 'put' else ''})"
    put = [value for value, column in zip(batch.values, parts.taken, strict=True) if column in parts.put]
    contents = "".join(
        f",\n            {value}, pg_catalog.first_value({value}) over {window} as {_counted(value)}"
        for value in (put if verb == "put" else ())
    )
    stored, given = [_counted(value, "o.") for value in put], [value.replace("r.", "o.", 1) for value in put]
    same = f"pg_catalog.array_agg(not ({parts.differ(stored, given)}) order by o.idemdb_item)"
    return f"""\
    select
        pg_catalog.array_agg(o.idemdb_first order by o.idemdb_item),
        {same if verb == "put" else "null"},
        pg_catalog.array_agg(
            case when o.idemdb_first = o.idemdb_item then 1 else 0 end order by o.idemdb_item
        ),
        pg_catalog.count(*) filter (where o.idemdb_first = o.idemdb_item)
    into given.v_first, given.v_same, given.v_state, given.v_left
    from (
        select r.idemdb_item, pg_catalog.first_value(r.idemdb_item) over {window} as idemdb_first{contents}
        from {batch.rows}
    ) as o;
"""


def _counted(value: str, prefix: str = "") -> str:
    return prefix + value.replace("r.idemdb_", "idemdb_first_", 1)


def _batch(parts: Parts) -> _Batch:
    numbers = range(1, len(parts.taken) + 1)
    values = tuple(f"r.idemdb_{number}" for number in numbers)
    # In full: with its schema, unnest takes a single array.
    unnested = ", ".join(
        f"pg_catalog.unnest({f'given.v_{number}' if _kept(parts, number) else f'${number}'})"
        for number in numbers
    )
    raw = [
        f"u.idemdb_{number}" + (f"::{column.declared}" if column.as_text else "")
        for number, column in zip(numbers, parts.taken, strict=True)
    ]
    columns = ", ".join(f"{value} as idemdb_{number}" for number, value in zip(numbers, raw, strict=True))
    keys, computed = [], ""
    names = [column.name for column in parts.taken]
    for number, element in enumerate(parts.key.elements, 1):
        if element.column is not None:
            keys.append(values[names.index(element.column)])
        else:
            computed += f", {parts.element(element, raw)} as idemdb_key_{number}"
            keys.append(f"r.idemdb_key_{number}")
    rows = (
        f"(select {columns}, u.idemdb_item::pg_catalog.int4 as idemdb_item{computed}\n"
        f"            from rows from ({unnested}) with ordinality\n"
        f"                as u ({', '.join(f'idemdb_{number}' for number in numbers)}, idemdb_item)\n"
        f"            ) as r"
    )
    return _Batch(parts, values, tuple(keys), rows)


def _kept(parts: Parts, number: int) -> bool:
    """Say whether a variable holds the array, with the modifier of the column's type."""
    column = parts.taken[number - 1]
    return column.declared != column.type and not column.as_text


def _arrays(parts: Parts) -> str:
    kept = [(n, column) for n, column in enumerate(parts.taken, 1) if _kept(parts, n)]
    return "".join(f"    v_{number} {column.declared}[] := ${number};\n" for number, column in kept)


def _check_arrays(parts: Parts) -> str:
    wrong = " or ".join(
        f"${number} is null or pg_catalog.array_ndims(${number}) > 1"
        + (f" or pg_catalog.cardinality(${number}) <> pg_catalog.cardinality($1)" if number > 1 else "")
        for number in range(1, len(parts.taken) + 1)
    )
    return f"""\
    if {wrong} then
        raise exception using errcode = 'ID004', message = 'the arrays of a batch have to be of one length',
            hint = 'Give one array for each column, with a value, or null, for every row.';
    end if;
"""


def _check_rows(batch: _Batch) -> str:
    parts = batch.parts
    made = ""
    if not parts.key.nulls_equal:
        nulls = " or ".join(f"{key} is null" for key in batch.keys)
        made += refuse_null(parts, f"exists (select from {batch.rows} where {nulls})")
    if parts.predicate_given:
        assert parts.key.predicate is not None, "only a partial index has something to be outside of"
        inside = parts.over_given(parts.key.predicate, parts.key.predicate_columns, batch.values)
        made += f"""\
    if exists (select from {batch.rows} where {inside} is not true) then
        {outside(parts)}
    end if;
"""
    return made


def _put_columns(batch: _Batch) -> tuple[list[str], list[str]]:
    by_name = dict(zip((c.name for c in batch.parts.taken), batch.values, strict=True))
    stored = [f"t.{quoted(column.name)}" for column in batch.parts.put]
    return stored, [by_name[column.name] for column in batch.parts.put]


def _read(batch: _Batch, verb: str) -> str:
    parts = batch.parts
    differ = parts.differ(*_put_columns(batch)) if verb == "put" else "false"
    same = "existing" if verb == "create" else "unchanged"
    if parts.tombstone:
        same = f"case when {parts.tombstone} is not null then 'gone' else '{same}' end"
        differ = f"({differ}) and {parts.tombstone} is null" if differ != "false" else differ
    else:
        same = f"'{same}'"
    match = parts.match(batch.keys).replace("\n    ", "\n            ")
    return f"""\
        for v_item, outcome, record in
            select r.idemdb_item,
                case when {differ} then null else {same} end,
                case when {differ} then null else pg_catalog.to_jsonb(t.*) end
            from {batch.rows}
            join {parts.table.sql} as t on {match}
            where given.v_state[r.idemdb_item] = 1
        loop
            if outcome is null then
                v_state[v_item] := 2;
            else
{_deeper(_SETTLED)}                v_outcomes[v_item] := outcome;
                v_records[v_item] := record;
            end if;
        end loop;
"""


def _returned(parts: Parts) -> str:
    """Return whether the written row is in the index, whatever its columns and those of ``r`` are called."""
    return f"(select ({parts.key.predicate}) from (select t.*) as x)" if parts.key.predicate else "true"


def _settle(parts: Parts, outcome: str) -> str:
    check = check_inside(parts, " " * 12)
    return f"""\
        loop
{check}{_SETTLED}            v_outcomes[v_item] := '{outcome}';
            v_records[v_item] := record;
        end loop;
"""


def _insert(batch: _Batch) -> str:
    parts = batch.parts
    numbers = range(1, len(batch.keys) + 1)
    written = ", ".join(
        f"{f't.{quoted(e.column)}' if e.column is not None else f'({e.stored})'} as idemdb_key_{number}"
        for number, e in zip(numbers, parts.key.elements, strict=True)
    )
    keys = ", ".join(f"idemdb_key_{number}" for number in numbers)
    given = ", ".join(
        f"{key} as idemdb_key_{number}" for number, key in zip(numbers, batch.keys, strict=True)
    )
    same = ", ".join(
        f"x.idemdb_key_{number}" + (f" collate {e.collation}" if e.collation else "")
        for number, e in zip(numbers, parts.key.elements, strict=True)
    )
    # Sorting finds the inserted rows among the given ones: the planner takes arrays for short, and would
    # compare each with each.
    return f"""\
        for v_item, record, v_inside in
            with w as (
                insert into {parts.table.sql} as t ({parts.names})
                select {", ".join(batch.values)}
                from {batch.rows}
                where given.v_state[r.idemdb_item] = 1
                order by {batch.order}
                on conflict {parts.target} do nothing
                returning {written}, pg_catalog.to_jsonb(t.*) as idemdb_record,
                    {parts.key.predicate or "true"} as idemdb_inside
            )
            select m.idemdb_item, m.idemdb_record, m.idemdb_inside
            from (
                select x.idemdb_record, x.idemdb_inside, x.idemdb_item is null as idemdb_written,
                    pg_catalog.first_value(x.idemdb_item) over (
                        partition by {same} order by x.idemdb_item nulls last
                    ) as idemdb_item
                from (
                    select r.idemdb_item, null::pg_catalog.jsonb as idemdb_record,
                        null::pg_catalog.bool as idemdb_inside, {given}
                    from {batch.rows}
                    where given.v_state[r.idemdb_item] = 1
                    union all
                    select null, w.idemdb_record, w.idemdb_inside, {keys} from w
                ) as x
            ) as m
            where m.idemdb_written and m.idemdb_item is not null
{_settle(parts, "created")}"""


def _update(batch: _Batch) -> str:
    parts = batch.parts
    stored, given = _put_columns(batch)
    settings = ", ".join(
        f"{quoted(column.name)} = {value}" for column, value in zip(parts.put, given, strict=True)
    )
    match = parts.match(batch.keys).replace("\n    ", "\n                ")
    alive = f" and {parts.tombstone} is null" if parts.tombstone else ""
    changes = f"given.v_state[r.idemdb_item] = 2 and ({parts.differ(stored, given)}){alive}"
    return f"""\
        if 2 = any(v_state) then
            perform
            from {batch.rows}
            join {parts.table.sql} as t on {match}
            where {changes}
            order by {batch.order}
            for no key update of t;
            for v_item, record, v_inside in
                update {parts.table.sql} as t
                set {settings}
                from {batch.rows}
                where {match}
                and {changes}
                returning r.idemdb_item, pg_catalog.to_jsonb(t.*), {_returned(parts)}
{_deeper(_settle(parts, "updated"))}\
        end if;
"""


def _answer(verb: str) -> str:
    """Return the answers by position; a row that does not count gets its own."""
    other = "'existing'" if verb == "create" else "case when v_same[v_item] then 'unchanged' else 'stale' end"
    return f"""\
    for v_item in 1..pg_catalog.cardinality($1) loop
        item := v_item;
        outcome := v_outcomes[v_first[v_item]];
        if v_first[v_item] <> v_item and outcome <> 'gone' then
            outcome := {other};
        end if;
        record := v_records[v_first[v_item]];
        return next;
    end loop;
"""


def _deeper(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
