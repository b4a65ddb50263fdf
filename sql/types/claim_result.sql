-- What claim and execute answer. Frozen: new facts go into details.
create type idemdb.claim_result as (
    outcome text,
    claim_token bigint,
    attempt integer,
    recovery_point text,
    recovery_data jsonb,
    status integer,
    headers jsonb,
    body bytea,
    result jsonb,
    reference text,
    retry_after_ms integer,
    claimed_at timestamptz,
    completed_at timestamptz,
    details jsonb
);

comment on type idemdb.claim_result is
'Answer of claim() and execute(). outcome: started | resumed (you hold the key; claim_token is yours), replayed (status, headers, body, result, reference as stored), in_progress (retry_after_ms), mismatch (another request used this key), expired (reference only), unresolved (a person must decide).';
