create function idemdb._refuse_token(p_scope text, p_key text, p_claim_token bigint) returns void
language plpgsql
as $$
declare
    v_row idemdb.keys;
begin
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    raise exception 'claim % of key "%" in scope "%" is lost: %', p_claim_token, p_key, p_scope, case
        when v_row.scope is null then 'there is no such claim'
        when v_row.claim_token <> p_claim_token then 'another claim followed it'
        when v_row.completed_at is not null then 'it is completed'
        when v_row.lease_until = '-infinity' then 'it was released'
        else 'it was bound to a transaction that has ended'
    end
        using errcode = 'ID003',
        hint = 'Roll this transaction back, then claim the key again: that tells what became of it.';
end;
$$;

comment on function idemdb._refuse_token(text, text, bigint) is
'Internal. Raises ID003 and says why the token is not, or no longer, the holder''s.';

revoke all on function idemdb._refuse_token(text, text, bigint) from public;
