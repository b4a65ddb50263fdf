-- What lookup answers. Frozen: new facts go into details.
create type idemdb.key_record as (
    state text,
    scope text,
    key text,
    fingerprint bytea,
    claim_token bigint,
    attempt integer,
    recovery_point text,
    recovery_data jsonb,
    status integer,
    headers jsonb,
    body bytea,
    result jsonb,
    reference text,
    last_error text,
    created_at timestamptz,
    claimed_at timestamptz,
    lease_until timestamptz,
    completed_at timestamptz,
    replay_until timestamptz,
    forget_at timestamptz,
    details jsonb
);

comment on type idemdb.key_record is
'Answer of lookup(). state: unknown | running | abandoned (lease over, the next claim takes over) | unresolved (lease over, held for a person) | released | done | expired (answer dropped, key remembered).';
