create function idemdb.resolve(p_scope text, p_key text, p_action text, p_note text, p_answer jsonb default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_row idemdb.keys;
    v_state text;
    v_token bigint;
    v_answer idemdb.claim_result;
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key for update;
    v_state := case
        when not found then 'unknown'
        when v_row.claim_xid = pg_current_xact_id_if_assigned() then 'open'
        else idemdb._key_state(v_row, clock_timestamp(), null)
    end;
    perform idemdb._check_resolve(v_state, p_action, p_note, p_answer);
    v_answer := idemdb._read_answer(v_answer, p_answer::text);
    v_token := idemdb._next_token(v_now, v_row.claim_token);

    if p_action = 'completed' then
        update idemdb.keys as k
        set claim_token = v_token,
            created_at = idemdb._created_at(k),
            completed_at = v_now,
            replay_until = least(v_now + (k.replay_until - idemdb._claimed_at(k.claim_token)), k.forget_at),
            status = v_answer.status,
            headers = v_answer.headers,
            body = v_answer.body,
            result = v_answer.result,
            reference = v_answer.reference,
            recovery_point = null,
            recovery_data = null
        where k.scope = p_scope and k.key = p_key;
    elsif p_action = 'retry' then
        update idemdb.keys as k
        set claim_token = v_token,
            created_at = idemdb._created_at(k),
            lease_until = '-infinity',
            replay_until = k.replay_until + (idemdb._claimed_at(v_token) - idemdb._claimed_at(k.claim_token))
        where k.scope = p_scope and k.key = p_key;
    else
        delete from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    end if;

    insert into idemdb.audit (happened_at, actor, action, scope, key, note, details)
    values (
        v_now, idemdb._actor(), 'resolve:' || p_action, p_scope, p_key, p_note,
        jsonb_build_object(
            'state', v_state, 'claim_token', v_row.claim_token, 'attempt', v_row.attempt,
            'recovery_point', v_row.recovery_point, 'answer', p_answer
        )
    );
    return case p_action when 'completed' then 'done' when 'retry' then 'released' else 'forgotten' end;
end;
$$;

comment on function idemdb.resolve(text, text, text, text, jsonb) is
'Decide by hand what becomes of a key whose holder is gone (for idemdb_admin).

p_action: completed (the work was done; p_answer, a JSON object with status, headers, body_base64, result, reference, is replayed from now on), retry (the next claim runs, from the recovery point if there is one), forget (as if the key had never been used; the only action for a finished key). p_note says why and is kept in the audit table. The old claim token becomes void.
Returns the new state: done | released | forgotten.
Errors: ID004 for a key that is absent, running or (but for forget) finished, an unknown action, an empty note, a malformed answer.';

revoke all on function idemdb.resolve(text, text, text, text, jsonb) from public;
