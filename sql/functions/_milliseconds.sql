create function idemdb._milliseconds(p_period interval) returns integer
language sql immutable parallel safe
return greatest(1, least(ceil(extract(epoch from p_period) operator(pg_catalog.*) 1000), 2147483647))::integer;

comment on function idemdb._milliseconds(interval) is
'Internal. The period in whole milliseconds, from 1 to what an integer holds.';

revoke all on function idemdb._milliseconds(interval) from public;
