-- The time in a claim token. One SQL expression, so that the planner can inline it.
create function idemdb._claimed_at(p_claim_token bigint) returns timestamptz
language sql immutable parallel safe
return pg_catalog.to_timestamp(p_claim_token operator(pg_catalog./) 1000000::double precision);

comment on function idemdb._claimed_at(bigint) is
'Internal. When the claim with this token was made: a claim token is the clock in microseconds.';

revoke all on function idemdb._claimed_at(bigint) from public;
