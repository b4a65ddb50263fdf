-- Of a table with plain children only its own rows are meant: its unique index does not reach theirs.
create function idemdb._row_table(
    p_table regclass, out name text, out scan text, out triggers boolean, out guarded boolean
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select
        format('%I.%I', n.nspname, c.relname),
        format('%s%I.%I', case when c.relkind = 'p' then '' else 'only ' end, n.nspname, c.relname),
        -- Partitions may have their own.
        c.relkind = 'p' or exists (
            select from pg_trigger as g
            where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 3 = 3
        ),
        exists (select from pg_index as i where i.indrelid = c.oid and i.indislive and not i.indisvalid)
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = p_table
$$;

comment on function idemdb._row_table(regclass) is
'Internal. A table in SQL, as a target and to read from; whether it has BEFORE ROW triggers, and an index that is not valid (yet).';

revoke all on function idemdb._row_table(regclass) from public;
