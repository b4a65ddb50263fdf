-- What outbox_take hands out. Frozen: new facts go into details.
create type idemdb.outbox_message as (
    id bigint,
    claim_token bigint,
    dedup_key text,
    group_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    created_at timestamptz,
    details jsonb
);

comment on type idemdb.outbox_message is
'A message taken from the outbox, to be delivered and then finished by outbox_done() or outbox_retry() with its claim_token.';
