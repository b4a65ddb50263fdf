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

-- file: functions/process.sql
create or replace function idemdb.process(p_consumer text, p_event_id text, p_occurred_at timestamptz default null) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_key uuid := idemdb._event_key(p_consumer, p_event_id);
    v_now timestamptz := clock_timestamp();
    v_keep_for interval;
    v_dead boolean;
begin
    if not idemdb._valid_key(p_consumer, p_event_id) or not isfinite(p_occurred_at) then
        perform idemdb._check_names('consumer', p_consumer, 'event id', p_event_id);
        perform idemdb._refuse_occurred_at(p_occurred_at);
    end if;
    for v_try in 1..5 loop
        select i.dead into v_dead from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key;
        if found then
            return case when v_dead then 'dead' else 'duplicate' end;
        end if;
        v_keep_for := idemdb._settings_of('consumer', p_consumer) ->> 'keep_for';
        if p_occurred_at < v_now - v_keep_for then
            return 'too_old';
        end if;
        perform idemdb._check_writable('process an event');
        insert into idemdb.inbox (forget_at, event_key, consumer)
        values (greatest(p_occurred_at, v_now) + v_keep_for, v_key, v_consumer) on conflict (consumer, event_key) do nothing;
        if found then
            -- One that is just being counted stays until it is swept: waiting for process_failed() here would be a deadlock.
            delete from idemdb.event_failures as f
            where f.ctid = any (array(
                select d.ctid from idemdb.event_failures as d
                where d.consumer = p_consumer and d.event_id = p_event_id
                for update skip locked
            ));
            return 'first_seen';
        end if;
    end loop;
    raise exception 'event "%" of consumer "%" came and went while it was being processed', p_event_id, p_consumer
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb.process(text, text, timestamptz) is
'Tell whether a consumer sees an event for the first time, and remember it with this transaction''s commit.

Call it in the transaction that handles the event: handling and "seen" then commit or vanish together. Another transaction that is just processing the same event is waited for. p_occurred_at: when the event happened; one older than the consumer''s keep_for could have been forgotten, so it is too_old and not remembered.
Outcomes: first_seen (handle it), duplicate, too_old, dead (given up, see dead_letter; do not handle it).
Errors: ID004 invalid argument; 25006 a new event in a read-only transaction; 40001 repeat the transaction.';

revoke all on function idemdb.process(text, text, timestamptz) from public;
