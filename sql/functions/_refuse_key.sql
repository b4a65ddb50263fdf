create function idemdb._refuse_key(p_scope text, p_key text) returns void
language plpgsql immutable
as $$
declare
    v_what text := case when octet_length(p_scope) between 1 and 255 then 'key' else 'scope' end;
    v_size integer := octet_length(case v_what when 'key' then p_key else p_scope end);
begin
    raise exception 'idempotency % must have 1 to 255 octets, this one %', v_what,
        case when v_size is null then 'is null' else format('has %s', v_size) end
        using errcode = 'ID004',
        hint = case
            when v_size > 255 then format('Pass a digest of it, such as encode(sha256(convert_to(%s, ''UTF8'')), ''hex'').', v_what)
            when v_what = 'scope' then 'A scope names the tenant or user and the operation, for example ''shop-7:pay''.'
            else 'Take the key that the client sent, or make one per logical request (a UUID).'
        end;
end;
$$;

comment on function idemdb._refuse_key(text, text) is 'Internal. Raises ID004 for a scope or key that _valid_key refused.';

revoke all on function idemdb._refuse_key(text, text) from public;
