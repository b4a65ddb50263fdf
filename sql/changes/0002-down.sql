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
