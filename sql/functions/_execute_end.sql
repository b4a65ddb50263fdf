create function idemdb._execute_end(
    p_scope text, p_key text, p_fingerprint bytea, p_options jsonb, p_answer idemdb.claim_result
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_replay_for interval;
    v_keep_for interval;
begin
    -- The last mark is ours, 82 characters: executions nest.
    perform set_config('idemdb.executing', left(current_setting('idemdb.executing', true), -82), true);
    if p_answer.attempt > 1 then
        return idemdb.complete(
            p_scope, p_key, p_answer.claim_token, p_answer.status, p_answer.headers, p_answer.body, p_answer.result,
            p_answer.reference
        );
    end if;

    if p_options is not null then
        select o.replay_for, o.keep_for into v_replay_for, v_keep_for
        from idemdb._claim_options(p_options - 'exclude') as o;
    end if;
    -- A plain INSERT in a block costs less than ON CONFLICT, which writes its row in two steps. Behind the courtesy lock a
    -- conflict is as good as impossible.
    insert into idemdb.keys (
        claim_token, forget_at, replay_until, completed_at, result, reference, headers, body, status,
        scope, key, fingerprint
    ) values (
        p_answer.claim_token, p_answer.claimed_at + coalesce(v_keep_for, interval '30 days'),
        least(v_now + coalesce(v_replay_for, interval '24 hours'), p_answer.claimed_at + v_keep_for), v_now,
        p_answer.result, p_answer.reference, p_answer.headers, p_answer.body, p_answer.status,
        p_scope, p_key, p_fingerprint
    );
    return v_now;
exception
    when unique_violation then
        perform from idemdb.keys as k
        where k.scope = p_scope and k.key = p_key and k.claim_xid = pg_current_xact_id_if_assigned();
        if found then
            perform idemdb._refuse_claim(p_scope, p_key);
        end if;
        raise exception 'key "%" in scope "%" was claimed while its function ran', p_key, p_scope
            using errcode = 'serialization_failure',
            hint = 'Repeat the transaction: the key then tells what became of it.';
end;
$$;

comment on function idemdb._execute_end(text, text, bytea, jsonb, idemdb.claim_result) is
'Internal. Second half of execute(): stores key and answer in one row.';

revoke all on function idemdb._execute_end(text, text, bytea, jsonb, idemdb.claim_result) from public;
