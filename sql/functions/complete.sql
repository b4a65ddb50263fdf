create function idemdb.complete(
    p_scope text,
    p_key text,
    p_claim_token bigint,
    p_status integer default null,
    p_headers jsonb default null,
    p_body bytea default null,
    p_result jsonb default null,
    p_reference text default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_completed_at timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif pg_try_advisory_xact_lock(idemdb._key_lock(p_scope, p_key)) then
        null; -- who wants to take over meanwhile waits on this lock and not on the row, which would cost it a transaction id
    end if;

    update idemdb.keys as k
    set completed_at = v_now,
        replay_until = least(v_now + (k.replay_until - idemdb._claimed_at(k.claim_token)), k.forget_at),
        status = p_status,
        headers = p_headers,
        body = p_body,
        result = p_result,
        reference = p_reference,
        recovery_point = null,
        recovery_data = null
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and (k.claim_xid = pg_current_xact_id_if_assigned() or k.lease_until is not null)
        and k.lease_until is distinct from '-infinity'
    returning k.completed_at into v_completed_at;
    if found then
        return v_completed_at;
    end if;

    -- Repeated with an equal answer, by a holder that did not hear of its success?
    select k.completed_at into v_completed_at from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is not null
        and k.replay_until > v_now
        and (k.claim_xid = pg_current_xact_id_if_assigned() or k.lease_until is not null)
        and (k.status, k.headers, k.body, k.result, k.reference)
        is not distinct from (p_status, p_headers, p_body, p_result, p_reference);
    if not found then
        perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
    end if;
    return v_completed_at;
end;
$$;

comment on function idemdb.complete(text, text, bigint, integer, jsonb, bytea, jsonb, text) is
'Store the answer of a claimed key, to be replayed to every repeat.

Takes the claim_token from claim(). Status, headers, body (bytes, kept as they are), result and reference are all optional. Returns when the answer was stored; repeated with the same token and an equal answer, the first time again.
Errors: ID003 when the claim was lost (taken over, released, forgotten, completed with another answer, or bound to a transaction that has ended): let the transaction roll back. ID004 invalid argument.';

revoke all on function idemdb.complete(text, text, bigint, integer, jsonb, bytea, jsonb, text) from public;
