create function idemdb.lookup(p_scope text, p_key text) returns idemdb.key_record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_row idemdb.keys;
    v_record idemdb.key_record;
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    v_record.scope := p_scope;
    v_record.key := p_key;
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    if not found then
        v_record.state := 'unknown';
        return v_record;
    end if;
    v_record.state := idemdb._key_state(v_row, clock_timestamp(), pg_current_xact_id_if_assigned());
    if v_record.state = 'open' then
        v_record.state := 'running';
    elsif v_record.state <> 'expired' then
        v_record.status := v_row.status;
        v_record.headers := v_row.headers;
        v_record.body := v_row.body;
        v_record.result := v_row.result;
    end if;
    v_record.fingerprint := v_row.fingerprint;
    v_record.claim_token := v_row.claim_token;
    v_record.attempt := v_row.attempt;
    v_record.recovery_point := v_row.recovery_point;
    v_record.recovery_data := v_row.recovery_data;
    v_record.reference := v_row.reference;
    v_record.last_error := v_row.last_error;
    v_record.created_at := idemdb._created_at(v_row);
    v_record.claimed_at := idemdb._claimed_at(v_row.claim_token);
    -- Many drivers cannot read -infinity.
    v_record.lease_until := nullif(v_row.lease_until, '-infinity');
    v_record.completed_at := v_row.completed_at;
    v_record.replay_until := least(v_row.replay_until, v_row.forget_at);
    v_record.forget_at := v_row.forget_at;
    return v_record;
end;
$$;

comment on function idemdb.lookup(text, text) is
'Show what is known of an idempotency key, without claiming it or waiting for it.

state: unknown | running | abandoned | unresolved | released | done | expired. A claim of another session that has not committed is not seen.
Errors: ID004 invalid argument.';

revoke all on function idemdb.lookup(text, text) from public;
