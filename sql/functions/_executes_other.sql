create function idemdb._executes_other(p_scope text, p_key text, p_fingerprint bytea) returns boolean
language plpgsql stable
as $$
declare
    v_running text := current_setting('idemdb.executing', true);
    v_mark text := idemdb._execution(idemdb._key_lock(p_scope, p_key), p_fingerprint);
begin
    if strpos(v_running || ' ', v_mark || ' ') > 0 then
        perform idemdb._refuse_claim(p_scope, p_key);
    end if;
    return strpos(v_running, split_part(v_mark, ':', 1) || ':') > 0;
end;
$$;

comment on function idemdb._executes_other(text, text, bytea) is
'Internal. Whether this transaction is inside execute of the same key for another request; ID007 when it is for the same.';

revoke all on function idemdb._executes_other(text, text, bytea) from public;
