-- The engine behind claim and execute: an indexed read (a replay ends here), then the courtesy lock and the write, each a
-- statement of its own, in a loop that ends with the wait. The primary key decides; the lock only makes others wait.
create function idemdb._admit(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb, p_run boolean
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_replay_for interval := interval '24 hours';
    v_keep_for interval := interval '30 days';
    v_hold boolean := false;
    v_raises boolean := false;
    v_row idemdb.keys;
    v_state text;
    v_now timestamptz;
    v_until timestamptz;
    v_pause interval := interval '20 milliseconds';
    v_answer idemdb.claim_result;
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    elsif p_fingerprint is null or not idemdb._valid_period(p_lease) or not idemdb._valid_wait(p_wait) then
        perform idemdb._refuse_arguments(p_fingerprint, p_lease, p_wait);
    elsif p_options is not null then
        select * into v_replay_for, v_keep_for, v_hold, v_raises from idemdb._claim_options(p_options);
    end if;

    loop
        select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
        v_now := clock_timestamp();
        if found then
            if v_row.fingerprint <> p_fingerprint then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
            v_state := idemdb._key_state(v_row, v_now, pg_current_xact_id_if_assigned());
            if v_state in ('done', 'expired', 'unresolved') then
                return idemdb._recall(v_row, v_state);
            end if;
        else
            v_state := 'absent';
        end if;
        v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));

        if v_state = 'running' then
            if v_now >= v_until then
                return idemdb._in_progress(p_scope, p_key, v_row.lease_until - v_now, v_raises);
            end if;
            perform pg_sleep_for(least(v_pause, v_until - v_now));
            v_pause := least(v_pause * 2, interval '200 milliseconds');
            continue;
        end if;

        if current_setting('transaction_read_only') = 'on' or v_state = 'open' then
            perform idemdb._refuse_claim(p_scope, p_key);
        elsif current_setting('idemdb.executing', true) <> '' then
            if idemdb._executes_other(p_scope, p_key, p_fingerprint) then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
        end if;
        if v_state = 'absent' then
            v_answer := idemdb._start(p_scope, p_key, p_fingerprint, p_lease, v_replay_for, v_keep_for, v_hold, p_run);
        elsif p_run and v_row.recovery_point is not null then
            raise exception 'key "%" in scope "%" has a recovery point, which execute cannot go on from', p_key, p_scope
                using errcode = 'ID004', hint = 'Claim it with a lease and go on from its recovery_point.';
        else
            v_answer := idemdb._take_over(v_row, p_lease, v_until - v_now);
        end if;
        if v_answer.outcome is not null then
            return v_answer;
        elsif v_now > v_until then
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
