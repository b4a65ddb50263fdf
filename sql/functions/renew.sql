create function idemdb.renew(p_scope text, p_key text, p_claim_token bigint, p_lease interval) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_lease_until timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif p_lease is null or not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', coalesce(p_lease::text, 'null')
            using errcode = 'ID004', hint = 'Say for how long from now the holder needs the key.';
    end if;

    update idemdb.keys as k
    set lease_until = v_now + p_lease
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until > '-infinity'
    returning k.lease_until into v_lease_until;
    if not found then
        perform idemdb._refuse_lease(p_scope, p_key, p_claim_token);
    end if;
    return v_lease_until;
end;
$$;

comment on function idemdb.renew(text, text, bigint, interval) is
'Extend the lease of a running claim to p_lease from now, by the database''s clock.

Allowed even after the lease ran out, as long as nobody took over. Returns until when the lease runs.
Errors: ID003 when the claim was lost: stop working. ID004 invalid argument, or a claim bound to this transaction.';

revoke all on function idemdb.renew(text, text, bigint, interval) from public;
