-- What process_many answers. Frozen.
create type idemdb.event_result as (
    item integer,
    event_id text,
    outcome text
);

comment on type idemdb.event_result is
'Answer of process_many(), one row per position (from 1): first_seen (handle it), duplicate, too_old, dead.';
