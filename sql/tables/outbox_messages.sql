-- The queue: a row per message that is still to be delivered or is dead. Its indexes hold columns that never change, so taking
-- and retrying are heap-only updates.
create table idemdb.outbox_messages (
    id bigint generated always as identity,
    claim_token bigint,
    created_at timestamptz not null,
    available_at timestamptz not null,
    lease_until timestamptz,
    attempt integer not null default 0,
    dead boolean not null default false,
    topic text collate "C" not null,
    dedup_key text collate "C" not null,
    group_key text collate "C",
    payload jsonb not null,
    headers jsonb,
    last_error text,
    primary key (topic, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

create index outbox_messages_group on idemdb.outbox_messages (topic, group_key, id) where group_key is not null;

comment on table idemdb.outbox_messages is 'Messages of the outbox that are still to be delivered, and the dead ones. Written by functions only.';
comment on column idemdb.outbox_messages.id is 'Order of adding.';
comment on column idemdb.outbox_messages.claim_token is 'Fencing token of the take that holds the message.';
comment on column idemdb.outbox_messages.created_at is 'When it was added.';
comment on column idemdb.outbox_messages.available_at is 'Not to be taken earlier.';
comment on column idemdb.outbox_messages.lease_until is 'Until when the take that holds it may be alone.';
comment on column idemdb.outbox_messages.attempt is 'How often it was taken.';
comment on column idemdb.outbox_messages.dead is 'Given up after max_attempts: a dead letter.';
comment on column idemdb.outbox_messages.topic is 'Name of the topic.';
comment on column idemdb.outbox_messages.dedup_key is 'The key that makes the message unique within its topic.';
comment on column idemdb.outbox_messages.group_key is 'Messages of a group are delivered in their order.';
comment on column idemdb.outbox_messages.payload is 'What to deliver.';
comment on column idemdb.outbox_messages.headers is 'What goes with it.';
comment on column idemdb.outbox_messages.last_error is 'What went wrong the last time.';

revoke all on table idemdb.outbox_messages from public;
