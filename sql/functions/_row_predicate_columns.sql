create function idemdb._row_predicate_columns(p_index oid) returns setof smallint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct v.found[1]::smallint
    from pg_index as i, regexp_matches(i.indpred::text, ':varattno (-?\d+) ', 'g') as v (found)
    where i.indexrelid = p_index
$$;

comment on function idemdb._row_predicate_columns(oid) is
'Internal. The numbers of the columns that the predicate of a partial index reads.';

revoke all on function idemdb._row_predicate_columns(oid) from public;
