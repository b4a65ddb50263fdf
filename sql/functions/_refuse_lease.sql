create function idemdb._refuse_lease(p_scope text, p_key text, p_claim_token bigint) returns void
language plpgsql
as $$
begin
    perform from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token
        and k.lease_until is null and k.completed_at is null and k.claim_xid = pg_current_xact_id_if_assigned();
    if found then
        raise exception 'the claim of key "%" in scope "%" is bound to this transaction and has no lease', p_key, p_scope
            using errcode = 'ID004', hint = 'Claim with p_lease for work that outlives a transaction.';
    end if;
    perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
end;
$$;

comment on function idemdb._refuse_lease(text, text, bigint) is
'Internal. Raises ID004 where the claim is bound to this transaction, else ID003.';

revoke all on function idemdb._refuse_lease(text, text, bigint) from public;
