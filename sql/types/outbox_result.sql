-- What outbox_add answers. Frozen.
create type idemdb.outbox_result as (
    outcome text,
    id bigint
);

comment on type idemdb.outbox_result is
'Answer of outbox_add(): added, existing (the same message is there or was delivered), mismatch (another payload used the dedup key).';
