-- Takeover is one UPDATE guarded by the old token, behind the courtesy lock. A guard that fails only after a wait would keep
-- the winner's row locked to the end of our transaction, so this block is rolled back then, its locks included.
create function idemdb._take_over(p_row idemdb.keys, p_lease interval, p_wait interval) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_token bigint := idemdb._next_token(v_now, p_row.claim_token);
    v_moved interval := idemdb._claimed_at(v_token) - idemdb._claimed_at(p_row.claim_token);
    -- A key abandoned for longer than it was to be remembered would otherwise be forgotten as soon as it is done.
    v_forget_at timestamptz := case
        when p_row.forget_at > v_now then p_row.forget_at else v_now + (p_row.forget_at - idemdb._created_at(p_row))
    end;
    v_lock_timeout text := current_setting('lock_timeout');
    v_answer idemdb.claim_result;
begin
    if not pg_try_advisory_xact_lock(idemdb._key_lock(p_row.scope, p_row.key)) then
        raise lock_not_available;
    end if;
    perform set_config('lock_timeout', idemdb._milliseconds(p_wait)::text, true);
    update idemdb.keys as k
    set claim_token = v_token,
        claim_xid = pg_current_xact_id(),
        created_at = idemdb._created_at(k),
        attempt = k.attempt + 1,
        lease_until = v_now + p_lease,
        forget_at = v_forget_at,
        -- A leased claim keeps the whole window: completion computes its own end from it.
        replay_until = least(k.replay_until + v_moved, case when p_lease is null then v_forget_at end)
    where k.scope = p_row.scope and k.key = p_row.key and k.claim_token = p_row.claim_token
        and k.completed_at is null and k.lease_until = p_row.lease_until;
    if not found then
        raise lock_not_available;
    end if;
    perform set_config('lock_timeout', v_lock_timeout, true);

    v_answer.outcome := case when p_row.recovery_point is null then 'started' else 'resumed' end;
    v_answer.claim_token := v_token;
    v_answer.attempt := p_row.attempt + 1;
    v_answer.recovery_point := p_row.recovery_point;
    v_answer.recovery_data := p_row.recovery_data;
    v_answer.claimed_at := idemdb._claimed_at(v_token);
    return v_answer;
exception
    when lock_not_available then
        return null;
end;
$$;

comment on function idemdb._take_over(idemdb.keys, interval, interval) is
'Internal. Claims an abandoned or released key with a greater token; p_lease null binds it to this transaction. Outcome null when somebody else changed the row, or holds it for longer than p_wait.';

revoke all on function idemdb._take_over(idemdb.keys, interval, interval) from public;
