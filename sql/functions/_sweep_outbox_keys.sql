create function idemdb._sweep_outbox_keys(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.outbox_keys as t
    where t.ctid = any (array(
        select d.ctid from idemdb.outbox_keys as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now
            and not exists (select from idemdb.outbox_messages as m where m.topic = d.topic and m.id = d.id)
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('dedup_keys', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_outbox_keys(tid, tid, bigint) is
'Internal. Drops at most p_limit dedup keys past keep_for whose message has left the outbox.';

revoke all on function idemdb._sweep_outbox_keys(tid, tid, bigint) from public;
