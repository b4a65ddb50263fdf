create function idemdb._sweep_key_blocks(
    p_block bigint, p_blocks bigint, p_answers bigint, p_keys bigint, out answers bigint, out keys bigint
)
language plpgsql
as $$
declare
    v_from tid := format('(%s,0)', p_block);
    v_to tid := format('(%s,0)', p_block + p_blocks);
    v_now timestamptz := clock_timestamp();
begin
    delete from idemdb.keys as k
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        where d.ctid >= v_from and d.ctid < v_to and d.forget_at <= v_now
            and (
                idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned()) = 'expired'
                or (idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned()) = 'released' and d.recovery_point is null)
            )
        limit p_keys
        for update skip locked
    ));
    get diagnostics keys = row_count;

    update idemdb.keys as k
    set status = null, headers = null, body = null, result = null
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        where d.ctid >= v_from and d.ctid < v_to and d.replay_until <= v_now
            and idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned()) = 'expired'
            and (d.headers is not null or d.body is not null or d.result is not null)
        limit p_answers
        for update skip locked
    ));
    get diagnostics answers = row_count;
end;
$$;

comment on function idemdb._sweep_key_blocks(bigint, bigint, bigint, bigint) is
'Internal. Drops at most p_keys keys and p_answers answers in p_blocks blocks of the key table from p_block on.';

revoke all on function idemdb._sweep_key_blocks(bigint, bigint, bigint, bigint) from public;
