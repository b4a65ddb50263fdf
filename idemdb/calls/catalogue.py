"""What PostgreSQL's catalogue says of a table: read once for a database and table, as plain data.

What a statement says about a natural key is PostgreSQL's own text: expressions, predicates
and operators are taken from here and are never made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from idemdb.errors import InvalidArgument
from idemdb.natural_key import read_tombstone
from idemdb.statement import Call, Composed, Rows, Statement, scalar
from idemdb.wire import text

# Two kinds of types in one: `type` is what a value is cast to. It has the column's modifier (numeric's scale,
# timestamp's precision), so that values compare as they will be stored; but no length, because a cast cuts a
# text where an INSERT refuses it. A domain stands for the type below it: the INSERT checks the domain.
_DESCRIBE = Composed(
    "describe table",
    """
with recursive given as (
    select \0::text as name
),
wanted as (
    select pg_catalog.to_regclass(name) as id, pg_catalog.parse_ident(name) as parts from given
),
base (attnum, typid, modifier) as (
    select a.attnum, a.atttypid, a.atttypmod
    from pg_catalog.pg_attribute as a, wanted as w
    where a.attrelid = w.id and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype, t.typtypmod
    from base as b
    join pg_catalog.pg_type as t on t.oid = b.typid
    where t.typtype = 'd'
),
typed as (
    select b.attnum, t.oid, t.typcategory, t.typtype, t.typname, b.modifier, t.typelem, n.nspname,
        coalesce(nullif(e.typbasetype, 0), e.oid, t.oid) as member
    from base as b
    join pg_catalog.pg_type as t on t.oid = b.typid and t.typtype <> 'd'
    join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
    left join pg_catalog.pg_type as e on e.oid = t.typelem and t.typcategory = 'A'
),
columns as (
    select
        a.attnum, a.attname, a.attgenerated, a.attidentity, t.oid, t.typname, t.typcategory,
        case
            when t.nspname <> 'pg_catalog' then pg_catalog.format('%I.%I', t.nspname, t.typname)
            when t.oid in (1042, 1043, 1560, 1562) then pg_catalog.format_type(t.oid, -1)
            when t.modifier = -1 then pg_catalog.format_type(t.oid, -1)
            when t.typcategory = 'A' then pg_catalog.format_type(t.oid, null)
            else pg_catalog.format_type(t.oid, t.modifier)
        end as type,
        case
            when m.typcategory = 'S' and t.typcategory = 'S' then null
            when m.typtype in ('e', 'r', 'm') or m.oid in (1043, 650) then 'operator(pg_catalog.=)'
            when t.typcategory = 'A' then (
                select 'operator(pg_catalog.=)'
                from pg_catalog.pg_opclass as c
                join pg_catalog.pg_am as am on am.oid = c.opcmethod
                where c.opcdefault and c.opcintype = m.oid and am.amname in ('btree', 'hash')
                limit 1
            )
            else (
                select pg_catalog.format('operator(%I.%s)', s.nspname, o.oprname)
                from pg_catalog.pg_opclass as c
                join pg_catalog.pg_am as am on am.oid = c.opcmethod
                join pg_catalog.pg_amop as p on p.amopfamily = c.opcfamily and p.amoplefttype = c.opcintype
                    and p.amoprighttype = c.opcintype
                    and p.amopstrategy = case am.amname when 'btree' then 3 else 1 end
                join pg_catalog.pg_operator as o on o.oid = p.amopopr
                join pg_catalog.pg_namespace as s on s.oid = o.oprnamespace
                where c.opcdefault and c.opcintype = m.oid and am.amname in ('btree', 'hash')
                order by am.amname
                limit 1
            )
        end as equals,
        pg_catalog.pg_get_expr(d.adbin, d.adrelid) as made,
        -- Whether the default says what the row is, and not when or as which it was born.
        coalesce(d.adbin::text, '') !~ '\\{(SQLVALUEFUNCTION|NEXTVALUEEXPR) ' and not exists (
            select
            from pg_catalog.regexp_matches(d.adbin::text, ':(funcid|opno) (\\d+) ', 'g') as f (found)
            left join pg_catalog.pg_operator as o on f.found[1] = 'opno' and o.oid = f.found[2]::oid
            join pg_catalog.pg_proc as p on p.oid = coalesce(o.oprcode::oid, f.found[2]::oid)
            where p.provolatile <> 'i'
        ) as steady,
        (
            select pg_catalog.json_agg(v.found[1]::integer)
            from pg_catalog.regexp_matches(d.adbin::text, ':varattno (-?\\d+) ', 'g') as v (found)
            where a.attgenerated <> ''
        ) as sources
    from wanted as w
    join pg_catalog.pg_attribute as a on a.attrelid = w.id and a.attnum > 0 and not a.attisdropped
    join typed as t on t.attnum = a.attnum
    join pg_catalog.pg_type as m on m.oid = t.member
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
),
indexes as (
    select
        c.relname, n.nspname, i.indisunique, i.indimmediate, i.indisvalid, i.indisexclusion, i.indisprimary,
        i.indnullsnotdistinct,
        pg_catalog.obj_description(c.oid, 'pg_class') as comment,
        pg_catalog.pg_get_expr(i.indpred, i.indrelid) as predicate,
        (
            select pg_catalog.json_agg(distinct v.found[1]::integer)
            from pg_catalog.regexp_matches(i.indpred::text, ':varattno (-?\\d+) ', 'g') as v (found)
        ) as predicate_columns,
        (
            select pg_catalog.json_agg(distinct v.found[1]::integer)
            from pg_catalog.regexp_matches(i.indexprs::text, ':varattno (-?\\d+) ', 'g') as v (found)
        ) as expression_columns,
        (
            select pg_catalog.json_agg(pg_catalog.json_build_object(
                'column', i.indkey[k.n - 1],
                'expression', case when i.indkey[k.n - 1] = 0
                    then pg_catalog.pg_get_indexdef(i.indexrelid, k.n, true) end,
                'equals', pg_catalog.format('operator(%I.%s)', s.nspname, o.oprname),
                'collation',
                ' collate ' || pg_catalog.quote_ident(cs.nspname) || '.'
                || pg_catalog.quote_ident(co.collname),
                'collated', co.oid is not null
            ) order by k.n)
            from pg_catalog.generate_series(1, i.indnkeyatts) as k (n)
            join pg_catalog.pg_opclass as f on f.oid = i.indclass[k.n - 1]
            join pg_catalog.pg_amop as p on p.amopfamily = f.opcfamily and p.amoplefttype = f.opcintype
                and p.amoprighttype = f.opcintype and p.amopstrategy = 3
            join pg_catalog.pg_operator as o on o.oid = p.amopopr
            join pg_catalog.pg_namespace as s on s.oid = o.oprnamespace
            left join pg_catalog.pg_collation as co on co.oid = i.indcollation[k.n - 1]
            left join pg_catalog.pg_namespace as cs on cs.oid = co.collnamespace
        ) as parts
    from wanted as w
    join pg_catalog.pg_index as i on i.indrelid = w.id
    join pg_catalog.pg_class as c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    order by c.relname
)
select pg_catalog.json_build_object(
    'parts', w.parts,
    'kind', c.relkind,
    'rules', exists (select from pg_catalog.pg_rewrite as r where r.ev_class = c.oid),
    'triggers', exists (
        select from pg_catalog.pg_trigger as g
        where g.tgrelid = c.oid and g.tgtype & 3 = 3 and g.tgenabled <> 'D' and not g.tgisinternal
    ),
    'columns', (select pg_catalog.json_agg(x order by x.attnum) from columns as x),
    'indexes', (select pg_catalog.json_agg(x) from indexes as x)
)::text
from wanted as w
left join pg_catalog.pg_class as c on c.oid = w.id
""",
)
_SECURED = Statement(
    "row security", "select pg_catalog.row_security_active(pg_catalog.to_regclass($1::text)::oid)"
)
_TABLES = {"r", "p"}


@dataclass(frozen=True)
class Field:
    """A column of a table.

    :param type: what a value is cast to, as SQL writes it.
    :param equals: the operator that compares two values; None where they compare as text.
    :param default: SQL of its default, or of what it is generated from.
    :param steady: whether the default is the same for every row.
    """

    number: int
    name: str
    oid: int
    type: str
    base: str
    equals: str | None
    default: str | None
    steady: bool
    generated: bool
    identity: str
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A column or an expression of a natural key.

    :param column: the name; None for an expression.
    :param expression: SQL; also of a generated column, whose value nobody can give.
    """

    column: str | None
    expression: str | None
    equals: str
    collation: str


@dataclass(frozen=True)
class Key:
    """A unique index, and whether it can be a natural key.

    :param columns: what a caller must give.
    :param unfit: why it cannot be a conflict target; None where it can.
    :param tombstone: the column that its comment names.
    """

    name: str
    schema: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    predicate: str | None
    predicate_columns: tuple[str, ...]
    nulls_are_equal: bool
    primary: bool
    unfit: str | None
    tombstone: str | None


@dataclass(frozen=True)
class Described:
    """A table.

    :param name: qualified as the caller did, each part quoted.
    :param unfit: why its rows cannot be written by the row verbs; None where they can.
    :param plans: what was built for it, by verb, columns and options.
    """

    name: str
    unfit: tuple[str, str] | None
    triggers: bool
    fields: Mapping[str, Field]
    keys: tuple[Key, ...]
    plans: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def primary(self) -> frozenset[str]:
        """Return the columns of the primary key."""
        return frozenset(name for key in self.keys if key.primary for name in key.columns)


def describe(table: str) -> Call[Described]:
    """Build the query for a table, whose name is written as in SQL."""
    name = text(table, "table")
    return Call(_DESCRIBE, (name,), lambda rows: _described(rows, name))


def secured(described: Described) -> Call[bool]:
    """Build the question whether row-level security hides rows from this role."""
    return Call(_SECURED, (described.name,), scalar)


def quote(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _described(rows: Rows, name: str) -> Described:
    """Read the answer of the query.

    :raises InvalidArgument: where there is no such table.
    """
    found = json.loads(rows[0][0])
    if found["kind"] is None:
        raise InvalidArgument(f"there is no table {name}", hint="write its name as SQL does, with its schema")
    fields = {field.number: field for field in map(_field, found["columns"] or ())}
    names = {number: field.name for number, field in fields.items()}
    return Described(
        ".".join(quote(part) for part in found["parts"]),
        _unfit(found, name),
        found["triggers"],
        {field.name: field for field in fields.values()},
        tuple(_key(index, found["kind"], fields, names) for index in found["indexes"] or ()),
    )


def _unfit(found: dict[str, Any], name: str) -> tuple[str, str] | None:
    """Say why the rows of a relation cannot be written, and what to do."""
    if found["kind"] not in _TABLES:
        hint = "rows are written to tables, partitioned ones too, and not through views or to foreign tables"
        return f"{name} is no table", hint
    if found["rules"]:
        return f"table {name} has rules, which ON CONFLICT does not work with", "use a trigger instead"
    return None


def _field(column: dict[str, Any]) -> Field:
    return Field(
        column["attnum"],
        column["attname"],
        int(column["oid"]),
        column["type"],
        column["typname"],
        column["equals"],
        column["made"],
        column["steady"],
        column["attgenerated"] != "",
        column["attidentity"],
        tuple(column["sources"] or ()),
    )


def _key(index: dict[str, Any], kind: str, fields: Mapping[int, Field], names: Mapping[int, str]) -> Key:
    """Describe a unique index. A generated column of it stands for those that it is made of."""
    given: set[int] = set(index["expression_columns"] or ())
    parts = []
    for part in index["parts"] or ():
        column = fields.get(part["column"])
        if column is not None:
            given.update(column.sources if column.generated else (column.number,))
        made = column.default if column is not None and column.generated else part["expression"]
        name = column.name if column is not None else None
        parts.append(Part(name, made, part["equals"], part["collation"] if part["collated"] else ""))
    return Key(
        index["relname"],
        index["nspname"],
        tuple(names[number] for number in sorted(given)),
        tuple(parts),
        index["predicate"],
        tuple(names[number] for number in index["predicate_columns"] or ()),
        index["indnullsnotdistinct"],
        index["indisprimary"],
        _unfit_index(index, kind),
        read_tombstone(index["comment"]),
    )


def _unfit_index(index: dict[str, Any], kind: str) -> str | None:
    """Say why an index is no conflict target."""
    if not index["indisunique"]:
        return "it is not unique"
    if not index["indimmediate"]:
        return "its constraint is deferrable, which ON CONFLICT cannot use"
    if index["indisexclusion"]:
        return "it is an exclusion constraint"
    if not index["indisvalid"]:
        why = (
            "a partition has no attached index" if kind == "p" else "its build was interrupted or still runs"
        )
        return f"it is not valid: {why}"
    return None
