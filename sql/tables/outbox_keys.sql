-- One row per message ever added, until keep_for is over: never updated.
create table idemdb.outbox_keys (
    forget_at timestamptz not null,
    id bigint not null,
    topic text collate "C" not null,
    dedup_key text collate "C" not null,
    fingerprint bytea not null,
    primary key (topic, dedup_key)
) with (autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.outbox_keys is 'The dedup keys of the outbox: which messages were added. Written by functions only.';
comment on column idemdb.outbox_keys.forget_at is 'Until when the dedup key is remembered; longer while its message waits.';
comment on column idemdb.outbox_keys.id is 'The message.';
comment on column idemdb.outbox_keys.topic is 'Name of the topic.';
comment on column idemdb.outbox_keys.dedup_key is 'The key that makes the message unique within its topic.';
comment on column idemdb.outbox_keys.fingerprint is 'Digest of payload and group.';

insert into idemdb.sweep_cursor (what) values ('outbox_keys');

revoke all on table idemdb.outbox_keys from public;
