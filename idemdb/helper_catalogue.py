"""Read a table and its natural key from the catalogue, for the typed helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from idemdb.errors import InvalidArgument, NoNaturalKey
from idemdb.helper_parts import Column, Element, NaturalKey, Shape, Table, quoted
from idemdb.natural_key import read_tombstone

_TABLE = """\
select cast(c.oid as pg_catalog.int8) as oid, n.nspname as schema, c.relname as name,
    cast(c.relkind as pg_catalog.text) as kind,
    exists (
        select from pg_catalog.pg_rewrite as r where r.ev_class = c.oid and r.rulename <> '_RETURN'
    ) as ruled
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relname = cast(:name as pg_catalog.text) and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and (
        n.nspname = cast(:schema as pg_catalog.text)
        or cast(:schema as pg_catalog.text) is null and pg_catalog.pg_table_is_visible(c.oid)
    )"""

# Names that the server makes up from stored trees depend on search_path: with pg_catalog alone everything
# else is written with its schema. In a transaction the path is put back afterwards, else it ends with the
# statement.
_PATH = "select pg_catalog.current_setting('search_path') as path"
_RESTORE = "select pg_catalog.set_config('search_path', cast(:path as pg_catalog.text), true)"
_PINNED = """\
with path as materialized (
    select pg_catalog.set_config('search_path', 'pg_catalog', true) as path
)
"""

_COLUMNS = f"""{_PINNED}
select a.attnum as number, a.attname as name, cast(a.atttypid as pg_catalog.int8) as typid,
    pg_catalog.format_type(a.atttypid, -1) as type,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as declared,
    case when t.typarray <> 0 then pg_catalog.format_type(t.typarray, -1) end as array,
    case when a.attcollation <> 0 then pg_catalog.format('%I.%I', cn.nspname, co.collname) end as collation,
    case when a.attgenerated = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end as default,
    case when a.attgenerated <> '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end as expression,
    cast(a.attidentity as pg_catalog.text) as identity, a.attgenerated <> '' as generated,
    a.attnotnull as filled,
    cast(d.adbin as pg_catalog.text) as tree
from path as p
join pg_catalog.pg_attribute as a on p.path is not null
join pg_catalog.pg_type as t on t.oid = a.atttypid
left join pg_catalog.pg_collation as co on co.oid = a.attcollation
left join pg_catalog.pg_namespace as cn on cn.oid = co.collnamespace
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid)
    and a.attnum > 0 and not a.attisdropped
order by a.attnum"""

# The operator that says whether two values of a type are equal: of the type below a domain; none if a part of
# it has none; and none for texts, which are compared by their bytes.
_EQUALITY = """\
with recursive part as (
    select a.atttypid as root, a.atttypid as typ
    from pg_catalog.pg_attribute as a
    where a.attrelid = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid)
        and a.attnum > 0 and not a.attisdropped
    union
    select p.root, x.typ
    from part as p
    join pg_catalog.pg_type as t on t.oid = p.typ
    cross join lateral (
        select t.typbasetype as typ where t.typtype = 'd'
        union all
        select t.typelem where t.typcategory = 'A' and t.typelem <> 0
        union all
        select m.atttypid from pg_catalog.pg_attribute as m
        where t.typtype = 'c' and m.attrelid = t.typrelid and m.attnum > 0 and not m.attisdropped
    ) as x
),
judged as (
    select p.root, t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0 as passes,
        t.typtype in ('e', 'r', 'm', 'c') or t.oid in (
            cast('pg_catalog.varchar' as pg_catalog.regtype), cast('pg_catalog.cidr' as pg_catalog.regtype)
        ) as own,
        (
            select pg_catalog.format('operator(%I.%s)', n.nspname, o.oprname)
            from pg_catalog.pg_opclass as c
            join pg_catalog.pg_am as m on m.oid = c.opcmethod
            join pg_catalog.pg_amop as s
                on s.amopfamily = c.opcfamily
                and s.amoplefttype = c.opcintype and s.amoprighttype = c.opcintype
                and (m.amname = 'btree' and s.amopstrategy = 3 or m.amname = 'hash' and s.amopstrategy = 1)
            join pg_catalog.pg_operator as o on o.oid = s.amopopr
            join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
            where c.opcdefault and c.opcintype = t.oid and m.amname in ('btree', 'hash')
            order by m.amname
            limit 1
        ) as operator
    from part as p
    join pg_catalog.pg_type as t on t.oid = p.typ
)
select cast(j.root as pg_catalog.int8) as typid, r.typcategory = 'S' as text,
    bool_and(j.passes or j.own or j.operator is not null) as comparable,
    r.typcategory = 'A' as array,
    pg_catalog.max(j.operator) filter (where not j.passes and not j.own) as operator,
    r.typtype in ('c', 'e', 'r', 'm') as whole
from judged as j
join pg_catalog.pg_type as r on r.oid = j.root
group by j.root, r.typcategory, r.typtype"""

_INDEX = f"""{_PINNED}
select cast(i.indexrelid as pg_catalog.int8) as oid, c.relname as name,
    i.indisunique as uniq, i.indisvalid as valid,
    i.indimmediate as immediate, i.indisexclusion as exclusion, i.indnullsnotdistinct as nulls,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) as predicate, cast(i.indpred as pg_catalog.text) as tree,
    pg_catalog.obj_description(i.indexrelid, 'pg_class') as comment
from path as p
join pg_catalog.pg_index as i on p.path is not null
join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indrelid = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid)
order by c.relname"""

_ELEMENTS = f"""{_PINNED}
select k.n as position, k.attnum as attnum,
    pg_catalog.pg_get_indexdef(i.indexrelid, cast(k.n as pg_catalog.int4), false) as expression,
    pg_catalog.format_type(e.atttypid, e.atttypmod) as type, cast(i.indexprs as pg_catalog.text) as trees,
    case when co.oid is not null then pg_catalog.format('%I.%I', cn.nspname, co.collname) end as collation,
    case when not oc.opcdefault then pg_catalog.format('%I.%I', ocn.nspname, oc.opcname) end as opclass,
    o.oprname as operator, opn.nspname as operator_schema
from path as p
join pg_catalog.pg_index as i on p.path is not null
cross join lateral pg_catalog.unnest(cast(i.indkey as pg_catalog.int2[])) with ordinality as k (attnum, n)
join pg_catalog.pg_attribute as e on e.attrelid = i.indexrelid and e.attnum = k.n
left join pg_catalog.pg_collation as co on co.oid = i.indcollation[k.n - 1]
left join pg_catalog.pg_namespace as cn on cn.oid = co.collnamespace
join pg_catalog.pg_opclass as oc on oc.oid = i.indclass[k.n - 1]
join pg_catalog.pg_namespace as ocn on ocn.oid = oc.opcnamespace
join pg_catalog.pg_amop as s
    on s.amopfamily = oc.opcfamily and s.amoplefttype = oc.opcintype and s.amoprighttype = oc.opcintype
    and s.amopstrategy = 3
join pg_catalog.pg_operator as o on o.oid = s.amopopr
join pg_catalog.pg_namespace as opn on opn.oid = o.oprnamespace
where i.indexrelid = cast(cast(:oid as pg_catalog.int8) as pg_catalog.oid) and k.n <= i.indnkeyatts
order by k.n"""

_VAR = ":varattno "


class Reader(Protocol):
    """A connection to read from."""

    def rows(self, query: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query with parameters as ``:name``."""


def describe(reader: Reader, table: str, natural_key: str, schema: str | None = None) -> Shape:
    """Return a table and one of its natural keys.

    :param reader: the database.
    :param table: its name, without schema.
    :param natural_key: the name of a unique index or constraint of it.
    :param schema: else the table is found by ``search_path``.
    :raises InvalidArgument: for a table that is not there, or is none that rows can be put into safely.
    :raises NoNaturalKey: for an index that is not there, or does not do.
    """
    found = _table(reader, table, schema)
    path = reader.rows(_PATH)[0]["path"]
    columns = reader.rows(_COLUMNS, oid=found["oid"])
    index = _index(reader, found, natural_key)
    elements = reader.rows(_ELEMENTS, oid=index["oid"])
    reader.rows(_RESTORE, path=path)
    equality = {row["typid"]: row for row in reader.rows(_EQUALITY, oid=found["oid"])}
    made = tuple(_column(row, equality[row["typid"]]) for row in columns)
    return Table(found["schema"], found["name"], made), _key(index, elements, columns)


def _table(reader: Reader, name: str, schema: str | None) -> Mapping[str, Any]:
    found = reader.rows(_TABLE, name=name, schema=schema)
    shown = f"{schema}.{name}" if schema else name
    if not found:
        raise InvalidArgument(
            f"there is no table {shown}", hint="Give the name as it is stored, and its schema beside it."
        )
    (table,) = found
    kind = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}.get(table["kind"])
    if kind or table["ruled"]:
        raise InvalidArgument(
            f"{shown} is {kind}" if kind else f"{shown} has rules, which change what a statement does",
            hint="Helpers write to tables with unique indexes of their own.",
        )
    return table


def _index(reader: Reader, table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    indexes = {row["name"]: row for row in reader.rows(_INDEX, oid=table["oid"])}
    usable = [n for n, row in indexes.items() if row["uniq"] and row["immediate"] and row["valid"]]
    hint = (
        f"Natural keys of {table['name']}: {', '.join(usable)}."
        if usable
        else "Create a unique index first, with op.create_natural_key."
    )
    if name not in indexes:
        raise NoNaturalKey(f"{table['name']} has no index or constraint {name}", hint=hint)
    index = indexes[name]
    why = ""
    if not index["uniq"] or index["exclusion"]:
        why = "is not unique"
    elif not index["immediate"]:
        why = "is deferrable, which ON CONFLICT cannot use"
    elif not index["valid"]:
        why = "is not valid: its build was interrupted or is still running, or a partition lacks it"
    if why:
        raise NoNaturalKey(f"{name} of {table['name']} {why}", hint=hint)
    return index


def _column(row: Mapping[str, Any], equality: Mapping[str, Any]) -> Column:
    operator: str | None = None
    if equality["comparable"] and not equality["text"]:
        operator = "=" if equality["array"] or equality["whole"] else _plain(equality["operator"])
    return Column(
        name=row["name"],
        type=row["type"],
        declared=row["declared"],
        array=row["array"] or "text[]",
        collation=row["collation"] if operator is not None else None,
        equality=operator,
        default=row["default"],
        identity=row["identity"],
        generated=row["generated"],
    )


def _plain(operator: str | None) -> str | None:
    """Write the usual operator in the usual way: pg_catalog comes first on every sane path."""
    return "=" if operator in (None, "operator(pg_catalog.=)") else operator


def _key(
    index: Mapping[str, Any], elements: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> NaturalKey:
    by_number = {row["number"]: row for row in columns}
    # In the order of the index: what an expression names stands in the stored trees only.
    numbers = [row["attnum"] for row in elements if row["attnum"]]
    numbers += _named(elements[0]["trees"])
    given: list[str] = []
    for number in dict.fromkeys(numbers):
        row = by_number[number]
        made_of = _named(row["tree"]) if row["generated"] else [number]
        given += [by_number[part]["name"] for part in made_of]
    made = []
    for row in elements:
        column = by_number.get(row["attnum"])
        plain = column is not None and not column["generated"]
        made.append(
            Element(
                stored=row["expression"],
                given=column["expression"] if column is not None and not plain else row["expression"],
                column=column["name"] if column is not None and plain else None,
                type=column["declared"] if column is not None else row["type"],
                operator="="
                if row["operator_schema"] == "pg_catalog" and row["operator"] == "="
                else f"operator({quoted(row['operator_schema'])}.{row['operator']})",
                collation=row["collation"],
                opclass=row["opclass"],
                nullable=column is None or not column["filled"],
            )
        )
    predicate_columns = [by_number[n]["name"] for n in dict.fromkeys(_named(index["tree"]))]
    return NaturalKey(
        name=index["name"],
        elements=tuple(made),
        columns=tuple(dict.fromkeys(given)),
        predicate=index["predicate"],
        predicate_columns=tuple(predicate_columns),
        nulls_equal=index["nulls"],
        tombstone=_tombstone(index["comment"], index["name"], columns),
    )


def _named(tree: str | None) -> list[int]:
    """Return the numbers of the columns that a stored tree names, in its order."""
    return [int(part.split(None, 1)[0]) for part in (tree or "").split(_VAR)[1:]]


def _tombstone(comment: str | None, name: str, columns: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the tombstone column that the comment of the index names, which there must be."""
    column = read_tombstone(comment)
    if column is None:
        return None
    times = ("timestamp with time zone", "timestamp without time zone")
    if not any(row["name"] == column and row["type"] in times for row in columns):
        raise NoNaturalKey(
            f'the comment of index {name} names a tombstone column "{column}", '
            "and there is no such timestamptz column",
            hint="Add the column, or write the comment again with COMMENT ON INDEX.",
        )
    return str(column)
