-- With option replace a column goes back to its default if that says what the row is, and not when or as which it was born:
-- clocks, sequences, random values and primary keys stay, or a repeat would never find the row unchanged.
create function idemdb._row_columns(
    p_table regclass,
    p_given text[],
    p_index oid,
    p_options jsonb,
    out attnum smallint,
    out attname text,
    out type text,
    out given boolean,
    out key boolean,
    out value text,
    out set_to text,
    out differ text
)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with told as (
        select
            a.attnum,
            a.attname::text as attname,
            a.atttypid,
            idemdb._row_type(a.atttypid, a.atttypmod) as type,
            a.attname = any (p_given) as given,
            k.key,
            d.made
        from pg_attribute as a
        cross join lateral (
            select a.attname = any (idemdb._row_key_columns(p_index))
                or exists (select from idemdb._row_key_parts(p_index) as x where x.attnum = a.attnum) as key
        ) as k
        left join lateral (
            select coalesce(pg_get_expr(x.adbin, x.adrelid), 'null') as made
            from (select a.atthasdef) as h
            left join pg_attrdef as x on x.adrelid = a.attrelid and x.adnum = a.attnum
            where (p_options ->> 'replace')::boolean and a.attname <> all (p_given) and not k.key
                and a.attgenerated = '' and a.attidentity = ''
                and a.attname is distinct from idemdb._row_tombstone(p_index)
                and coalesce(p_options -> 'columns' ? a.attname::text, true)
                and not exists (
                    select from pg_index as i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any (i.indkey::int2[])
                )
                and coalesce(x.adbin::text, '') !~ '\{(SQLVALUEFUNCTION|NEXTVALUEEXPR) '
                and not exists (
                    select from regexp_matches(x.adbin::text, ':(funcid|opno) (\d+) ', 'g') as f (found)
                    left join pg_operator as o on f.found[1] = 'opno' and o.oid = f.found[2]::oid
                    join pg_proc as p on p.oid = coalesce(o.oprcode::oid, f.found[2]::oid)
                    where p.provolatile <> 'i'
                )
        ) as d on true
        where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
    )
    select
        t.attnum,
        t.attname,
        t.type,
        t.given,
        t.key,
        v.value,
        case when t.given and not t.key then v.value when t.made is not null then 'default' end,
        case when v.value is not null then idemdb._row_differ(format('t.%I', t.attname), v.value, t.atttypid, t.key) end
    from told as t
    cross join lateral (
        select case
            when t.given then format('r."idemdb %s"', t.attnum)
            when t.made is not null then format('(%s)::%s', t.made, t.type)
        end as value
    ) as v
    order by t.attnum
$$;

comment on function idemdb._row_columns(regclass, text[], oid, jsonb) is
'Internal. The columns of a table in the statements of a row verb: their type, whether they are given, the value that the row should have (null: it keeps its own), what a put sets them to (null: nothing), SQL that is true where the stored value is another one.';

revoke all on function idemdb._row_columns(regclass, text[], oid, jsonb) from public;
