create function idemdb._refuse_arguments(p_fingerprint bytea, p_lease interval, p_wait interval) returns void
language plpgsql immutable
as $$
begin
    if p_fingerprint is null then
        raise exception 'the fingerprint is null'
            using errcode = 'ID004',
            hint = 'Pass idemdb.fingerprint(request as jsonb), or ''\x'' for a request without parameters.';
    elsif not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', p_lease
            using errcode = 'ID004', hint = 'Leave it null to bind the claim to this transaction.';
    end if;
    raise exception 'the wait must not be negative (nor above 1000 years), as % is', p_wait
        using errcode = 'ID004', hint = 'Zero answers at once, null waits for 2 seconds.';
end;
$$;

comment on function idemdb._refuse_arguments(bytea, interval, interval) is
'Internal. Raises ID004 for a fingerprint, lease or wait that a claim refuses.';

revoke all on function idemdb._refuse_arguments(bytea, interval, interval) from public;
