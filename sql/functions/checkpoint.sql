create function idemdb.checkpoint(
    p_scope text,
    p_key text,
    p_claim_token bigint,
    p_recovery_point text,
    p_data jsonb default null,
    p_lease interval default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_lease_until timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif coalesce(p_recovery_point, '') = '' then
        raise exception 'the recovery point is empty'
            using errcode = 'ID004', hint = 'Name the step that was just finished.';
    elsif not idemdb._valid_period(p_lease) then
        perform idemdb._refuse_arguments(p_scope, p_key, '\x', p_lease, null);
    end if;

    update idemdb.keys as k
    set recovery_point = p_recovery_point,
        recovery_data = p_data,
        lease_until = coalesce(v_now + p_lease, k.lease_until)
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until > '-infinity'
    returning k.lease_until into v_lease_until;
    if not found then
        perform idemdb._refuse_lease(p_scope, p_key, p_claim_token);
    end if;
    return v_lease_until;
end;
$$;

comment on function idemdb.checkpoint(text, text, bigint, text, jsonb, interval) is
'Remember how far a leased holder got, so that a takeover is told resumed and goes on there.

p_recovery_point names the step that was finished, p_data (replaces what was there) is what the next ones need, p_lease, where given, renews the lease as well. Returns until when the lease runs.
Errors: ID003 when the claim was lost: let the transaction roll back. ID004 invalid argument, or a claim bound to this transaction.';

revoke all on function idemdb.checkpoint(text, text, bigint, text, jsonb, interval) from public;
