-- The columns of expressions stand in the stored trees only, as Var nodes. A generated column stands for the columns that it is
-- made of: nobody can give its value.
create function idemdb._row_key_columns(p_index oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with keys as (
        select i.indrelid, k.attnum
        from pg_index as i, unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
        where i.indexrelid = p_index and k.n <= i.indnkeyatts and k.attnum <> 0
        union
        select i.indrelid, v.found[1]::int2
        from pg_index as i, regexp_matches(i.indexprs::text, ':varattno (-?\d+) ', 'g') as v (found)
        where i.indexrelid = p_index
    ),
    made as (
        select k.indrelid, k.attnum from keys as k
        join pg_attribute as a on a.attrelid = k.indrelid and a.attnum = k.attnum and a.attgenerated = ''
        union
        select k.indrelid, v.found[1]::int2 from keys as k
        join pg_attribute as a on a.attrelid = k.indrelid and a.attnum = k.attnum and a.attgenerated <> ''
        join pg_attrdef as d on d.adrelid = k.indrelid and d.adnum = k.attnum,
        regexp_matches(d.adbin::text, ':varattno (-?\d+) ', 'g') as v (found)
    )
    select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
    from made as m
    join pg_attribute as a on a.attrelid = m.indrelid and a.attnum = m.attnum
$$;

comment on function idemdb._row_key_columns(oid) is
'Internal. The columns that a caller must give for a unique index to tell which row is meant.';

revoke all on function idemdb._row_key_columns(oid) from public;
