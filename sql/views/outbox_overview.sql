create view idemdb.outbox_overview as
select
    s.name as topic,
    count(m.id) filter (where not m.dead and m.lease_until is null and m.available_at <= clock_timestamp()) as waiting,
    count(m.id) filter (where not m.dead and m.lease_until is null and m.available_at > clock_timestamp()) as delayed,
    count(m.id) filter (where not m.dead and m.lease_until > clock_timestamp()) as taken,
    count(m.id) filter (where not m.dead and m.lease_until <= clock_timestamp()) as abandoned,
    count(m.id) filter (where m.dead) as dead,
    min(m.created_at) filter (where not m.dead) as oldest_created_at,
    idemdb._default_settings('topic') || s.settings as settings
from idemdb.settings as s
left join idemdb.outbox_messages as m on s.name = m.topic
where s.kind = 'topic'
group by s.name, s.settings;

comment on view idemdb.outbox_overview is
'What of each topic waits, is delayed, taken, abandoned by its taker, or dead. Reads the whole queue.';

revoke all on table idemdb.outbox_overview from public;
