-- A name that means the same under any search_path; only keywords such as "character varying" have none.
create function idemdb._row_type(p_type oid, p_modifier integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when n.nspname = 'pg_catalog' and p_modifier <> -1 then format_type(p_type, p_modifier)
        else format('%I.%I%s', n.nspname, t.typname, substring(format_type(p_type, p_modifier) from '\([^()]*\)'))
    end
    from pg_type as t
    join pg_namespace as n on n.oid = t.typnamespace
    where t.oid = p_type
$$;

comment on function idemdb._row_type(oid, integer) is
'Internal. A type as it is written in SQL, with its schema and modifier.';

revoke all on function idemdb._row_type(oid, integer) from public;
