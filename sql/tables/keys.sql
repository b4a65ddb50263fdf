-- One row per idempotency key. The state is derived from these columns by _key_state() and never stored:
--   lease_until null         bound: the row lives and dies with the transaction claim_xid, so once visible to others it is done
--   lease_until a time       leased: running until then
--   lease_until '-infinity'  released
--   completed_at not null    done, whatever the lease says
-- Only the primary key is indexed: completion must stay a heap-only (HOT) update, hence also the fillfactor, and an index for
-- expiry would cost every claim 60 bytes of WAL. The order of the columns saves bytes, too: wide ones come first, so that none is
-- lost to alignment, and scope, key and fingerprint last, so that WAL leaves them out of completion's update.
create table idemdb.keys (
    claim_token bigint not null,
    claim_xid xid8,
    forget_at timestamptz not null,
    replay_until timestamptz not null,
    created_at timestamptz,
    lease_until timestamptz,
    completed_at timestamptz,
    attempt integer not null default 1,
    status integer,
    hold boolean not null default false,
    result jsonb,
    reference text,
    headers jsonb,
    body bytea,
    recovery_point text,
    recovery_data jsonb,
    last_error text,
    scope text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    primary key (scope, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.keys is 'One row per idempotency key: who holds it, and the answer to replay. Written by functions only.';
comment on column idemdb.keys.claim_token is
'Fencing token: the clock in microseconds at the claim, greater with every takeover. It is also when the present claim was made.';
comment on column idemdb.keys.claim_xid is 'The transaction that made the present claim. Null for a key that execute wrote.';
comment on column idemdb.keys.created_at is 'When the key was first claimed, if its token has changed since.';
comment on column idemdb.keys.forget_at is 'Until when the key is remembered. Fixed at the claim.';
comment on column idemdb.keys.replay_until is
'Until when the answer is kept. Before completion: the claim plus replay_for, from which completion computes its own.';
comment on column idemdb.keys.lease_until is 'Null: bound to its transaction. -infinity: released. Else until when the holder may be alone.';
comment on column idemdb.keys.completed_at is 'When the answer was stored.';
comment on column idemdb.keys.attempt is 'How often the key was claimed, takeovers included.';
comment on column idemdb.keys.status is 'Status of the answer, such as an HTTP status.';
comment on column idemdb.keys.hold is 'An expired lease means unresolved (true) or may be taken over (false). The first claim decides.';
comment on column idemdb.keys.scope is 'Tenant or user, and operation. Never empty.';
comment on column idemdb.keys.key is 'The idempotency key: opaque bytes within its scope.';
comment on column idemdb.keys.fingerprint is 'Digest of the request, for the key''s whole life.';
comment on column idemdb.keys.result is 'JSON result of the answer.';
comment on column idemdb.keys.reference is 'What the answer is about, for example a payment''s id. Outlives the answer.';
comment on column idemdb.keys.headers is 'Headers of the answer.';
comment on column idemdb.keys.body is 'Body of the answer, byte for byte.';
comment on column idemdb.keys.recovery_point is 'Last step that a leased holder finished.';
comment on column idemdb.keys.recovery_data is 'What the holder needs to go on from there.';
comment on column idemdb.keys.last_error is 'Why the claim was last released.';

revoke all on table idemdb.keys from public;
