create function idemdb._refuse_arguments(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval
) returns void
language plpgsql immutable
as $$
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    elsif p_fingerprint is null then
        raise exception 'the fingerprint is null'
            using errcode = 'ID004',
            hint = 'Pass idemdb.fingerprint(request as jsonb), or ''\x'' for a request without parameters.';
    elsif not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', p_lease
            using errcode = 'ID004', hint = 'Leave it null to bind the claim to this transaction.';
    elsif not idemdb._valid_wait(p_wait) then
        raise exception 'the wait must not be negative (nor above 1000 years), as % is', p_wait
            using errcode = 'ID004', hint = 'Zero answers at once, null waits for 2 seconds.';
    end if;
end;
$$;

comment on function idemdb._refuse_arguments(text, text, bytea, interval, interval) is
'Internal. Raises ID004 for a scope, key, fingerprint, lease or wait that a claim refuses; does nothing for good ones.';

revoke all on function idemdb._refuse_arguments(text, text, bytea, interval, interval) from public;
