-- A token for a claim made now, greater than the one before it even where the clock was set back.
create function idemdb._next_token(p_now timestamptz, p_before bigint default 0) returns bigint
language sql immutable parallel safe
return greatest(
    (extract(epoch from p_now) operator(pg_catalog.*) 1000000)::bigint, p_before operator(pg_catalog.+) 1
);

comment on function idemdb._next_token(timestamptz, bigint) is
'Internal. The claim token (fencing token) for a claim made at p_now that follows the token p_before.';

revoke all on function idemdb._next_token(timestamptz, bigint) from public;
