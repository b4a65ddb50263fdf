create view idemdb.event_overview as
select
    s.name as consumer,
    (
        select count(*) from idemdb.inbox as i
        where i.consumer = idemdb._consumer_hash(s.name) and not i.dead
    ) as remembered,
    (
        select count(*) from idemdb.event_failures as f
        where f.consumer = s.name and not f.dead
    ) as retrying,
    (
        select count(*) from idemdb.event_failures as f
        where f.consumer = s.name and f.dead
    ) as dead,
    (
        select max(f.last_failed_at) from idemdb.event_failures as f
        where f.consumer = s.name
    ) as last_failed_at,
    (
        select count(*) from idemdb.streams as t
        where t.consumer = s.name
    ) as streams,
    (
        select count(*) from idemdb.entity_versions as v
        where v.consumer = s.name
    ) as entities,
    idemdb._default_settings('consumer') || s.settings as settings
from idemdb.settings as s
where s.kind = 'consumer';

comment on view idemdb.event_overview is
'What each consumer remembers, what is being retried and what is dead. Reads the whole inbox.';

revoke all on table idemdb.event_overview from public;
