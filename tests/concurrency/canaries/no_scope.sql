-- Wrong: one key space for everybody.
create or replace function canary.claim(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb
) returns canary.claim_result
language plpgsql as $$
declare
    v_row canary.keys;
    v_token bigint;
    v_until timestamptz;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_scope || ' ' || p_key, 0));
    v_token := extract(epoch from clock_timestamp()) * 1000000;
    v_until := clock_timestamp() + p_lease;
    insert into canary.keys (scope, key, fingerprint, claim_token, lease_until)
    values ('', p_key, p_fingerprint, v_token, v_until)
    on conflict (scope, key) do nothing;
    if found then
        return ('started', v_token, null, null)::canary.claim_result;
    end if;
    select * into strict v_row from canary.keys as k where k.scope = '' and k.key = p_key;
    if v_row.fingerprint <> p_fingerprint then
        return ('mismatch', null, null, null)::canary.claim_result;
    end if;
    if v_row.lease_until is null or v_row.completed_at is not null then
        return ('replayed', null, v_row.status, v_row.result)::canary.claim_result;
    end if;
    if v_row.lease_until > clock_timestamp() then
        return ('in_progress', null, null, null)::canary.claim_result;
    end if;
    update canary.keys as k
    set claim_token = greatest(v_token, k.claim_token + 1), lease_until = v_until
    where k.scope = '' and k.key = p_key and k.claim_token = v_row.claim_token and k.completed_at is null
    returning k.claim_token into v_token;
    if not found then
        return ('in_progress', null, null, null)::canary.claim_result;
    end if;
    return ('started', v_token, null, null)::canary.claim_result;
end
$$;

create or replace function canary.complete(
    p_scope text, p_key text, p_claim_token bigint, p_status integer, p_result jsonb
) returns timestamptz
language plpgsql as $$
begin
    update canary.keys as k
    set completed_at = clock_timestamp(), status = p_status, result = p_result
    where k.scope = '' and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp();
end
$$;
