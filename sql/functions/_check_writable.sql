create function idemdb._check_writable(p_what text) returns void
language plpgsql
as $$
begin
    if pg_catalog.current_setting('transaction_read_only')::boolean then
        raise exception 'cannot % in a read-only transaction', p_what
            using errcode = 'read_only_sql_transaction',
            hint = case
                when pg_catalog.pg_is_in_recovery() then 'Connect to the primary: this is a standby.'
                else 'Begin the transaction READ WRITE.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_writable(text) is
'Internal. Raises 25006 with a HINT in a read-only transaction and on a standby.';

revoke all on function idemdb._check_writable(text) from public;
