create function idemdb._row_key_parts(
    p_index oid,
    out n integer,
    out attnum smallint,
    out attname text,
    out made boolean,
    out equals text,
    out collation text,
    out null_is_a_value boolean
)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select
        k.n,
        a.attnum,
        a.attname::text,
        a.attgenerated <> '',
        format('operator(%I.%s)', n.nspname, o.oprname),
        case when c.oid is null then '' else format(' collate %I.%I', s.nspname, c.collname) end,
        i.indnullsnotdistinct
    from pg_index as i
    cross join generate_series(1, i.indnkeyatts) as k (n)
    left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n - 1] and a.attnum <> 0
    join pg_opclass as f on f.oid = i.indclass[k.n - 1]
    join pg_amop as p
        on p.amopfamily = f.opcfamily and p.amoplefttype = f.opcintype and p.amoprighttype = f.opcintype and p.amopstrategy = 3
    join pg_operator as o on o.oid = p.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace
    left join pg_collation as c on c.oid = i.indcollation[k.n - 1]
    left join pg_namespace as s on s.oid = c.collnamespace
    where i.indexrelid = p_index
    order by k.n
$$;

comment on function idemdb._row_key_parts(oid) is
'Internal. The parts of a unique index in their order: the column (null for an expression), whether it is generated, the equality and collation that the index uses.';

revoke all on function idemdb._row_key_parts(oid) from public;
