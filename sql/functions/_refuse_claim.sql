-- The rare reasons why a claim that has to write may not go ahead. The caller has seen that one of them applies.
create function idemdb._refuse_claim(p_scope text, p_key text) returns void
language plpgsql
as $$
begin
    if pg_is_in_recovery() then
        raise exception 'cannot claim key "%" in scope "%" on a standby', p_key, p_scope
            using errcode = 'read_only_sql_transaction', hint = 'Connect to the primary: a replica can only replay finished keys.';
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'cannot claim key "%" in scope "%" in a read-only transaction', p_key, p_scope
            using errcode = 'read_only_sql_transaction', hint = 'Begin the transaction READ WRITE: a claim is written.';
    end if;
    raise exception 'key "%" in scope "%" is already claimed by this transaction', p_key, p_scope
        using errcode = 'ID007',
        hint = 'Claim a key once per transaction and read all columns from one call: select * from idemdb.claim(...), not (idemdb.claim(...)).*. Do not retry.';
end;
$$;

comment on function idemdb._refuse_claim(text, text) is
'Internal. Raises 25006 on a standby and in a read-only transaction, else ID007: claimed by this very transaction.';

revoke all on function idemdb._refuse_claim(text, text) from public;
