create view idemdb.dead_letters as
select
    'consumer' as kind,
    f.consumer as name,
    f.event_id as id,
    f.attempts,
    f.last_error,
    f.first_failed_at as created_at,
    f.last_failed_at as died_at
from idemdb.event_failures as f
where f.dead
union all
select
    'topic' as kind,
    m.topic as name,
    m.id::text as id,
    m.attempt as attempts,
    m.last_error,
    m.created_at,
    null as died_at
from idemdb.outbox_messages as m
where m.dead;

comment on view idemdb.dead_letters is 'Events and messages that were given up and wait for dead_letter().';

revoke all on table idemdb.dead_letters from public;
