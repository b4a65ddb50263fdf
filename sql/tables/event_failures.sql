-- What process_failed() was told. Small: an event that is processed after all leaves it.
create table idemdb.event_failures (
    consumer text collate "C" not null,
    event_id text collate "C" not null,
    attempts integer not null,
    dead boolean not null,
    last_error text,
    first_failed_at timestamptz not null,
    last_failed_at timestamptz not null,
    forget_at timestamptz not null,
    primary key (consumer, event_id)
);

comment on table idemdb.event_failures is 'Events whose handler failed: those being retried, and the dead letters.';
comment on column idemdb.event_failures.consumer is 'Name of the consumer.';
comment on column idemdb.event_failures.event_id is 'Id of the event.';
comment on column idemdb.event_failures.attempts is 'How often its handler failed.';
comment on column idemdb.event_failures.dead is 'Given up after max_attempts.';
comment on column idemdb.event_failures.last_error is 'What went wrong the last time.';
comment on column idemdb.event_failures.first_failed_at is 'When its handler failed first.';
comment on column idemdb.event_failures.last_failed_at is 'When its handler failed last.';
comment on column idemdb.event_failures.forget_at is 'Until when a failure is counted that is neither repeated nor overcome.';

insert into idemdb.sweep_cursor (what) values ('event_failures');

revoke all on table idemdb.event_failures from public;
