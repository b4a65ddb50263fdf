"""The bodies of the typed helpers for one row: create, put, delete."""

from __future__ import annotations

from collections.abc import Sequence

from idemdb.helper_parts import Column, Parts, literal, quoted

ATTEMPTS = 5

_HEAD = """\
#variable_conflict use_column
<<given>>
declare
"""


def body(parts: Parts, verb: str) -> str:
    """Return the body of a function.

    :param parts: of its table, natural key and columns.
    :param verb: create, put or delete.
    """
    values = [_value(column, number) for number, column in enumerate(parts.taken, 1)]
    declared = [
        f"v_{number} {column.declared} := ${number};"
        for number, column in enumerate(parts.taken, 1)
        if column.declared != column.type
    ]
    keys = []
    for number, element in enumerate(parts.key.elements, 1):
        if element.column is not None:
            keys.append(values[[column.name for column in parts.taken].index(element.column)])
        else:
            declared.append(f"v_key_{number} {element.type} := {parts.element(element, values)};")
            keys.append(f"given.v_key_{number}")
    steps = {"create": _create, "put": _put, "delete": _delete}[verb](parts, values, keys)
    if verb != "delete" and parts.key.predicate:
        declared.append("v_inside boolean;")
    if verb != "delete" and parts.key.tombstone:
        declared.append("v_gone boolean;")
    declarations = "".join(f"    {line}\n" for line in declared)
    return (
        (_HEAD + declarations if declared else "#variable_conflict use_column\n")
        + "begin\n"
        + refuse_null(parts, " or ".join(f"{key} is null" for key in keys))
        + (_refuse_outside(parts, values) if verb != "delete" else "")
        + steps
        + "end\n"
    )


def _value(column: Column, number: int) -> str:
    """Return a parameter as the column would store it: numeric(10, 2) rounds, varchar(3) refuses."""
    return f"${number}" if column.declared == column.type else f"given.v_{number}"


def refuse_null(parts: Parts, condition: str) -> str:
    """Return the check that the key has no null, nothing where the index takes nulls for equal.

    :param condition: SQL that is true for a null in the key.
    """
    if parts.key.nulls_equal:
        return ""
    columns = ", ".join(parts.key.columns)
    return f"""\
    if {condition} then
        raise exception using errcode = 'ID004',
            message = {literal(f"null in the natural key {parts.key.name} ({columns})")},
            hint = 'Give every column of the key a value: to a unique index no null equals another.';
    end if;
"""


def outside(parts: Parts) -> str:
    """Return the error for a row that is not in a partial index."""
    message = f"the row is outside the predicate of {parts.key.name}: {parts.key.predicate}"
    return f"""\
raise exception using errcode = 'ID004',
            message = {literal(message)},
            hint = 'The natural key holds only for rows inside; write this row with your own statement.';"""


def check_inside(parts: Parts, margin: str) -> str:
    """Return the check that a written row is in a partial index."""
    if not parts.key.predicate:
        return ""
    return f"{margin}if v_inside is not true then\n{margin}    {outside(parts)}\n{margin}end if;\n"


def _refuse_outside(parts: Parts, values: Sequence[str]) -> str:
    if not parts.predicate_given:
        return ""
    assert parts.key.predicate is not None, "only a partial index has something to be outside of"
    inside = parts.over_given(parts.key.predicate, parts.key.predicate_columns, values)
    return f"""\
    if {inside} is not true then
        {outside(parts)}
    end if;
"""


def give_up(parts: Parts) -> str:
    """Return the error for a row that could be neither found nor written."""
    table = literal(parts.table.sql)
    which = f"{parts.table.name} by {parts.key.name}"
    return f"""\
    if pg_catalog.row_security_active({table}) then
        raise exception using errcode = 'insufficient_privilege',
            message = {literal(f"row-level security hides the row of {which} from this role")},
            hint = 'The key is taken by a row that the policies do not show or do not let change: put what '
                'separates the rows, such as the tenant, into the natural key.';
    end if;
    raise exception using errcode = 'serialization_failure',
        message = {literal(f"the row of {which} kept changing, or a trigger suppresses it")},
        hint = 'Repeat the transaction.';
"""


def _answer(outcome: str) -> str:
    return f"outcome := '{outcome}';\n{{0}}return next;\n{{0}}return;"


def _insert(parts: Parts, values: Sequence[str]) -> str:
    inside = f", {parts.key.predicate} " if parts.key.predicate else ""
    into = "record, given.v_inside" if parts.key.predicate else "record"
    check = check_inside(parts, " " * 16)
    return f"""\
            insert into {parts.table.sql} as t ({parts.names})
            values ({", ".join(values)})
            on conflict {parts.target} do nothing
            returning pg_catalog.to_jsonb(t.*){inside} into {into};
            if found then
{check}                {_answer("created").format(" " * 16)}
            end if;
"""


def _create(parts: Parts, values: Sequence[str], keys: Sequence[str]) -> str:
    gone = f", {parts.tombstone} is not null" if parts.tombstone else ""
    into = "record, given.v_gone" if parts.tombstone else "record"
    existing = (
        "outcome := case when v_gone then 'gone' else 'existing' end;" if gone else "outcome := 'existing';"
    )
    return f"""\
    for v_attempt in 1..{ATTEMPTS} loop
        select pg_catalog.to_jsonb(t.*){gone} into {into}
        from {parts.table.sql} as t
        where {_indented(parts.match(keys), 8)};
        if found then
            {existing}
            return next;
            return;
        else
{_insert(parts, values)}        end if;
    end loop;
{give_up(parts)}"""


def _put(parts: Parts, values: Sequence[str], keys: Sequence[str]) -> str:
    stored = [f"t.{quoted(column.name)}" for column in parts.put]
    by_name = dict(zip((column.name for column in parts.taken), values, strict=True))
    given = [by_name[column.name] for column in parts.put]
    differ = parts.differ(stored, given)
    match = _indented(parts.match(keys), 8)
    changes = f"({differ})" + (f" and {parts.tombstone} is null" if parts.tombstone else "")
    gone = f", {parts.tombstone} is not null" if parts.tombstone else ""
    into = "record, given.v_gone" if parts.tombstone else "record"
    same = (
        "outcome := case when v_gone then 'gone' else 'unchanged' end;" if gone else "outcome := 'unchanged';"
    )
    record = (
        f"case when {changes} then null else pg_catalog.to_jsonb(t.*) end"
        if given
        else "pg_catalog.to_jsonb(t.*)"
    )
    return f"""\
    for v_attempt in 1..{ATTEMPTS} loop
        -- The record only where it is the answer: that is half of what this statement costs.
        select {record}{gone} into {into}
        from {parts.table.sql} as t
        where {match};
        if not found then
{_insert(parts, values)}\
        elsif record is not null then
            {same}
            return next;
            return;
{_update(parts, given, match, changes) if given else ""}        end if;
    end loop;
{give_up(parts)}"""


def _update(parts: Parts, given: Sequence[str], match: str, changes: str) -> str:
    settings = ", ".join(
        f"{quoted(column.name)} = {value}" for column, value in zip(parts.put, given, strict=True)
    )
    inside = f", {parts.key.predicate} " if parts.key.predicate else ""
    into = "record, given.v_inside" if parts.key.predicate else "record"
    check = check_inside(parts, " " * 16)
    return f"""\
        else
            update {parts.table.sql} as t
            set {settings}
            where {match}
            and {changes}
            returning pg_catalog.to_jsonb(t.*){inside} into {into};
            if found then
{check}                {_answer("updated").format(" " * 16)}
            end if;
"""


def _delete(parts: Parts, _values: Sequence[str], keys: Sequence[str]) -> str:
    match = _indented(parts.match(keys), 4)
    if parts.tombstone:
        assert parts.key.tombstone is not None, "of the same natural key"
        statement = f"""\
    update {parts.table.sql} as t
    set {quoted(parts.key.tombstone)} = pg_catalog.clock_timestamp()
    where {match}
    and {parts.tombstone} is null
    returning pg_catalog.to_jsonb(t.*) into record;
"""
    else:
        statement = f"    delete from {parts.table.sql} as t\n    where {match};\n"
    return statement + "    outcome := case when found then 'deleted' else 'absent' end;\n    return next;\n"


def _indented(text: str, spaces: int) -> str:
    return text.replace("\n    ", "\n" + " " * spaces)
