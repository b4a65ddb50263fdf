create view idemdb.key_overview as
select
    k.scope,
    case s.state when 'open' then 'running' else s.state end as state,
    count(*) as keys,
    min(idemdb._created_at(k)) as oldest_created_at,
    max(idemdb._created_at(k)) as newest_created_at,
    clock_timestamp() - min(idemdb._created_at(k)) as oldest_age,
    max(k.attempt) as max_attempt
from idemdb.keys as k
cross join lateral (
    select idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned())
) as s (state)
group by k.scope, case s.state when 'open' then 'running' else s.state end;

comment on view idemdb.key_overview is
'How many keys each scope has in each state, and how old they are. Reads the whole key table.';

revoke all on table idemdb.key_overview from public;
