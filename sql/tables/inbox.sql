-- One row per event seen. Names are kept as digests: 92 bytes a row with its index, whatever the names' length.
create table idemdb.inbox (
    forget_at timestamptz not null,
    event_key uuid not null,
    consumer integer not null,
    dead boolean not null default false,
    primary key (consumer, event_key)
) with (autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.inbox is 'The events that each consumer has seen. Written by functions only.';
comment on column idemdb.inbox.forget_at is 'Until when the event is remembered; a dead one is remembered until somebody decides.';
comment on column idemdb.inbox.event_key is 'First 16 bytes of the SHA-256 of consumer and event id.';
comment on column idemdb.inbox.consumer is 'Hash of the consumer''s name; keeps a consumer''s rows together.';
comment on column idemdb.inbox.dead is 'Given up after max_attempts: a dead letter.';

insert into idemdb.sweep_cursor (what) values ('inbox');

revoke all on table idemdb.inbox from public;
