create function idemdb._valid_period(p_period interval) returns boolean
language sql immutable parallel safe
return coalesce(
    p_period operator(pg_catalog.>) interval '0' and p_period operator(pg_catalog.<) interval '1000 years', true
);

comment on function idemdb._valid_period(interval) is
'Internal. Whether a lease or window is above zero and can be added to the clock; null is the default.';

revoke all on function idemdb._valid_period(interval) from public;
