-- The engine behind claim and execute: an indexed read (a replay ends here), then the courtesy lock and the write, each a
-- statement of its own, in a loop that ends with the wait. The primary key decides; the lock only makes others wait.
create function idemdb._admit(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb, p_run boolean
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_replay_for interval;
    v_keep_for interval;
    v_hold boolean;
    v_raises boolean;
    v_row idemdb.keys;
    v_state text;
    v_now timestamptz;
    v_until timestamptz;
    v_pause interval;
    v_token bigint;
    v_answer idemdb.claim_result;
begin
    -- Each expression costs a replay more than one would think, so the usual arguments pass with one look.
    if p_fingerprint is null or p_lease is not null or p_wait is not null or p_options is not null then
        perform idemdb._refuse_arguments(p_scope, p_key, p_fingerprint, p_lease, p_wait);
        select * into v_replay_for, v_keep_for, v_hold, v_raises
        from idemdb._claim_options(p_options) where p_options is not null;
    end if;

    loop
        select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
        if found then
            if v_row.fingerprint <> p_fingerprint then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
            v_now := clock_timestamp();
            if v_row.completed_at is null or v_row.replay_until <= v_now then
                v_state := idemdb._key_state(v_row, v_now, pg_current_xact_id_if_assigned());
            else
                v_state := 'done';
            end if;
            if v_state = 'done' then
                return row(
                    'replayed', null::bigint, v_row.attempt, null::text, null::jsonb, v_row.status, v_row.headers, v_row.body,
                    v_row.result, v_row.reference, null::integer, idemdb._claimed_at(v_row.claim_token), v_row.completed_at,
                    null::jsonb
                )::idemdb.claim_result;
            elsif v_state in ('expired', 'unresolved') then
                return idemdb._recall(v_row, v_state);
            end if;
        elsif not idemdb._valid_key(p_scope, p_key) then
            perform idemdb._refuse_key(p_scope, p_key);
        else
            v_state := 'absent';
        end if;

        if v_state = 'running' then
            v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
            if v_now >= v_until then
                return idemdb._in_progress(p_scope, p_key, v_row.lease_until - v_now, v_raises);
            end if;
            v_pause := least(
                coalesce(v_pause * 2, interval '20 milliseconds'), interval '200 milliseconds', v_until - v_now
            );
            perform pg_sleep_for(v_pause);
            continue;
        elsif current_setting('transaction_read_only') = 'on' or v_state = 'open' then
            perform idemdb._refuse_claim(p_scope, p_key);
        elsif current_setting('idemdb.executing', true) <> '' then
            if idemdb._executes_other(p_scope, p_key, p_fingerprint) then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
        end if;

        if v_state = 'absent' then
            v_now := clock_timestamp();
            if pg_try_advisory_xact_lock(idemdb._key_lock(p_scope, p_key)) then
                v_token := idemdb._next_token(v_now);
                if p_run then
                    perform from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
                else
                    insert into idemdb.keys (
                        claim_token, claim_xid, forget_at, replay_until, lease_until, hold, scope, key, fingerprint
                    ) values (
                        v_token, pg_current_xact_id(), v_now + coalesce(v_keep_for, interval '30 days'),
                        v_now + coalesce(v_replay_for, interval '24 hours'), v_now + p_lease, coalesce(v_hold, false),
                        p_scope, p_key, p_fingerprint
                    ) on conflict (scope, key) do nothing;
                end if;
                if found <> p_run then
                    return row(
                        'started', v_token, 1, null::text, null::jsonb, null::integer, null::jsonb, null::bytea, null::jsonb,
                        null::text, null::integer, v_now, null::timestamptz, null::jsonb
                    )::idemdb.claim_result;
                end if;
            end if;
        elsif p_run and v_row.recovery_point is not null then
            raise exception 'key "%" in scope "%" has a recovery point, which execute cannot go on from', p_key, p_scope
                using errcode = 'ID004', hint = 'Claim it with a lease and go on from its recovery_point.';
        else
            v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
            v_answer := idemdb._take_over(v_row, p_lease, v_until - v_now);
            if v_answer.outcome is not null then
                return v_answer;
            end if;
        end if;
        v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
        if v_now > v_until then
            -- Read again and tried again after the wait was over.
            return idemdb._in_progress(p_scope, p_key, interval '1 second', v_raises);
        elsif v_now < v_until then
            perform idemdb._await_holder(idemdb._key_lock(p_scope, p_key), v_until - v_now);
        end if;
    end loop;
end;
$$;

comment on function idemdb._admit(text, text, bytea, interval, interval, jsonb, boolean) is
'Internal. Decides what a claim (or, with p_run, an execute) of a key is told, and makes the claim where there is one to make.';

revoke all on function idemdb._admit(text, text, bytea, interval, interval, jsonb, boolean) from public;
