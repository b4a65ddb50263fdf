create function idemdb._created_at(p_key idemdb.keys) returns timestamptz
language sql immutable parallel safe
return coalesce(p_key.created_at, idemdb._claimed_at(p_key.claim_token));

comment on function idemdb._created_at(idemdb.keys) is 'Internal. When a key was first claimed.';

revoke all on function idemdb._created_at(idemdb.keys) from public;
