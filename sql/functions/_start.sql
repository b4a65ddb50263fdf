-- An absent key: take the courtesy lock for the rest of the transaction, then write the claim. Without a lease the row is
-- written in its final state, so that it commits as done even if nobody completes it.
--
-- With p_run (execute) nothing is written yet: the row comes once, with the answer, after the function ran. Until then only
-- the lock shows that somebody is at it, so the key is read again behind the lock.
create function idemdb._start(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval,
    p_replay_for interval, p_keep_for interval, p_hold boolean, p_run boolean
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_token bigint := idemdb._next_token(v_now);
    v_answer idemdb.claim_result;
begin
    if not pg_try_advisory_xact_lock(idemdb._key_lock(p_scope, p_key)) then
        return null;
    elsif p_run then
        perform from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
        if found then
            return null;
        end if;
    else
        insert into idemdb.keys (
            claim_token, claim_xid, created_at, forget_at, replay_until, lease_until, hold, scope, key, fingerprint
        ) values (
            v_token, pg_current_xact_id(), v_now, v_now + p_keep_for, v_now + p_replay_for, v_now + p_lease, p_hold,
            p_scope, p_key, p_fingerprint
        ) on conflict (scope, key) do nothing;
        if not found then
            return null;
        end if;
    end if;
    v_answer.outcome := 'started';
    v_answer.claim_token := v_token;
    v_answer.attempt := 1;
    v_answer.claimed_at := v_now;
    return v_answer;
end;
$$;

comment on function idemdb._start(text, text, bytea, interval, interval, interval, boolean, boolean) is
'Internal. Claims an absent key. Null when somebody else holds its courtesy lock or was faster.';

revoke all on function idemdb._start(text, text, bytea, interval, interval, interval, boolean, boolean) from public;
