create function idemdb._refuse_holder(p_scope text, p_key text) returns void
language plpgsql immutable
as $$
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    raise exception 'the claim token is null'
        using errcode = 'ID004', hint = 'Pass the claim_token that claim() answered with outcome started or resumed.';
end;
$$;

comment on function idemdb._refuse_holder(text, text) is
'Internal. Raises ID004 for the scope, key or missing token of a function that only the holder may call.';

revoke all on function idemdb._refuse_holder(text, text) from public;
