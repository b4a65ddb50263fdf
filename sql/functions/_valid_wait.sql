create function idemdb._valid_wait(p_wait interval) returns boolean
language sql immutable parallel safe
return coalesce(p_wait between interval '0' and interval '1000 years', true);

comment on function idemdb._valid_wait(interval) is
'Internal. Whether a wait is zero or more and can be added to the clock; null is the default.';

revoke all on function idemdb._valid_wait(interval) from public;
