-- A forgotten event runs again, and a message that waits would never be delivered: refuse while there are any.
do $$
declare
    v_live bigint;
begin
    if coalesce(pg_catalog.current_setting('idemdb.force', true), 'off') = 'on' then
        return;
    end if;
    select
        (select count(*) from idemdb.inbox as i where i.dead or i.forget_at > pg_catalog.clock_timestamp())
        + (select count(*) from idemdb.streams) + (select count(*) from idemdb.entity_versions)
        + (select count(*) from idemdb.outbox_keys as k where k.forget_at > pg_catalog.clock_timestamp())
        + (select count(*) from idemdb.outbox_messages)
    into v_live;
    if v_live > 0 then
        raise exception 'this downgrade would forget % events, streams, versions and messages', v_live
            using errcode = 'ID004',
            hint = 'Events delivered again afterwards would run again, waiting messages would be lost. Wait until they are past keep_for, or force it: set local idemdb.force = ''on'' first.';
    end if;
end;
$$;

delete from idemdb.sweep_cursor as c
where c.what in ('inbox', 'event_failures', 'outbox_keys');

drop view idemdb.dead_letters;

drop view idemdb.outbox_overview;

drop view idemdb.event_overview;

-- file: functions/version.sql
create or replace function idemdb.version() returns integer
language sql immutable parallel safe
return 1;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;

drop function idemdb.dead_letter;

drop function idemdb._settle_dead_message;

drop function idemdb._settle_dead_event;

drop function idemdb.outbox_retry;

drop function idemdb.outbox_done;

drop function idemdb.outbox_take;

drop function idemdb._bury_messages;

drop function idemdb.outbox_add;

drop function idemdb._check_message;

drop function idemdb.advance;

drop function idemdb.process_offsets;

drop function idemdb._check_offsets;

drop function idemdb.process_failed;

drop function idemdb.process_many;

drop function idemdb._check_events;

drop function idemdb.process;

drop function idemdb._refuse_occurred_at;

drop function idemdb._event_key;

drop function idemdb._consumer_hash;

drop function idemdb._settings_of;

drop function idemdb._check_writable;

drop function idemdb._check_names;

-- file: functions/sweep.sql
create or replace function idemdb.sweep(p_limit integer default 10000) returns setof idemdb.sweep_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_table text;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit must be at least 1, not %', coalesce(p_limit::text, 'null')
            using errcode = 'ID004', hint = 'It bounds what one call removes, and so how long it takes.';
    end if;
    for v_table in select c.what from idemdb.sweep_cursor as c order by c.what loop
        return query select * from idemdb._sweep_table(v_table, p_limit);
    end loop;
end;
$$;

comment on function idemdb.sweep(integer) is
'Drop answers past replay_for and keys past keep_for, a small step at a time (for idemdb_admin).

Walks each table by ranges of blocks with a stored cursor, needs no index, waits for no lock and never touches a running, abandoned or unresolved key. One call removes at most p_limit of each kind and reads at most p_limit blocks of each table; call it again until pass_complete. Only one sweep works on a table at a time: another one answers at once that it removed nothing.
Returns a row for each kind: answers, keys.
Errors: ID004 p_limit below 1.';

revoke all on function idemdb.sweep(integer) from public;

drop function idemdb._sweep_outbox_keys;

drop function idemdb._sweep_event_failures;

drop function idemdb._sweep_inbox;

drop sequence idemdb.outbox_token;

drop table idemdb.outbox_messages;

drop table idemdb.outbox_keys;

drop table idemdb.entity_versions;

drop table idemdb.streams;

drop table idemdb.event_failures;

drop table idemdb.inbox;

drop type idemdb.outbox_message;

drop type idemdb.outbox_result;

drop type idemdb.event_result;
