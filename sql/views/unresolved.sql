create view idemdb.unresolved as
select
    k.scope,
    k.key,
    k.attempt,
    k.recovery_point,
    k.last_error,
    k.reference,
    idemdb._created_at(k) as created_at,
    idemdb._claimed_at(k.claim_token) as claimed_at,
    k.lease_until
from idemdb.keys as k
where idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned()) = 'unresolved';

comment on view idemdb.unresolved is
'Keys whose lease ran out under policy hold: a person decides by resolve(). Reads the whole key table.';

revoke all on table idemdb.unresolved from public;
