create function idemdb.release(p_scope text, p_key text, p_claim_token bigint, p_error text default null)
returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    end if;

    -- A first claim that is bound to this transaction leaves no trace.
    delete from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until is null and k.claim_xid = pg_current_xact_id_if_assigned() and k.attempt = 1;
    if found then
        return v_now;
    end if;

    update idemdb.keys as k
    set lease_until = '-infinity', last_error = p_error
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and (k.lease_until > '-infinity'
            or (k.lease_until is null and k.claim_xid = pg_current_xact_id_if_assigned()));
    if not found then
        perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
    end if;
    return v_now;
end;
$$;

comment on function idemdb.release(text, text, bigint, text) is
'Give a claim back unfinished: the next claim of the key, with the same fingerprint, runs.

A leased claim becomes released and keeps its recovery point; p_error is shown by lookup(). A claim bound to this transaction is taken back as if it had never been made (one that took over a leased claim becomes released). Returns when.
Errors: ID003 when the claim was lost. ID004 invalid argument.';

revoke all on function idemdb.release(text, text, bigint, text) from public;
