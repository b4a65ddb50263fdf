create function idemdb._sweep_event_failures(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.event_failures as t
    where t.ctid = any (array(
        select d.ctid from idemdb.event_failures as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now and not d.dead
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('failures', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_event_failures(tid, tid, bigint) is
'Internal. Drops at most p_limit failures that were neither repeated nor overcome for keep_for; dead letters stay.';

revoke all on function idemdb._sweep_event_failures(tid, tid, bigint) from public;
