create function idemdb._sweep_inbox(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.inbox as t
    where t.ctid = any (array(
        select d.ctid from idemdb.inbox as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now and not d.dead
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('events', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_inbox(tid, tid, bigint) is
'Internal. Drops at most p_limit events past keep_for between two places of the inbox; dead ones stay.';

revoke all on function idemdb._sweep_inbox(tid, tid, bigint) from public;
