create function idemdb.sweep(p_limit integer default 10000) returns setof idemdb.sweep_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_table text;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit must be at least 1, not %', coalesce(p_limit::text, 'null')
            using errcode = 'ID004', hint = 'It bounds what one call removes, and so how long it takes.';
    end if;
    for v_table in select c.what from idemdb.sweep_cursor as c order by c.what loop
        return query select * from idemdb._sweep_table(v_table, p_limit);
    end loop;
end;
$$;

comment on function idemdb.sweep(integer) is
'Drop what is past its window (answers, keys, events, dedup keys), a small step at a time (for idemdb_admin).

Walks each table by ranges of blocks with a stored cursor, needs no index, waits for no lock and never touches a running, abandoned or unresolved key, a dead letter or a waiting message. One call removes at most p_limit of each kind and reads at most p_limit blocks of each table; call it again until pass_complete. Only one sweep works on a table at a time: another one answers at once that it removed nothing.
Returns a row for each kind: answers, keys, events, failures, dedup_keys.
Errors: ID004 p_limit below 1.';

revoke all on function idemdb.sweep(integer) from public;
