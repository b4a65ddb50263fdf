create function idemdb._sweep_keys(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_keys bigint;
    v_answers bigint;
begin
    delete from idemdb.keys as k
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        cross join lateral (select idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned())) as s (state)
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now
            and (s.state = 'expired' or (s.state = 'released' and d.recovery_point is null))
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_keys = row_count;

    update idemdb.keys as k
    set status = null, headers = null, body = null, result = null
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        where d.ctid >= p_from and d.ctid < p_to and d.replay_until <= v_now
            and idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned()) = 'expired'
            and (d.headers is not null or d.body is not null or d.result is not null)
        limit p_limit
        for update skip locked
    ));
    get diagnostics v_answers = row_count;
    return query values ('keys', v_keys, null::boolean), ('answers', v_answers, null::boolean);
end;
$$;

comment on function idemdb._sweep_keys(tid, tid, bigint) is
'Internal. Drops at most p_limit keys past keep_for, and p_limit answers past replay_for, between two places of the key table.';

revoke all on function idemdb._sweep_keys(tid, tid, bigint) from public;
