-- A downgrade forgets every key, and a forgotten key runs again: refuse while keys are remembered.
do $$
declare
    v_live bigint;
begin
    if coalesce(pg_catalog.current_setting('idemdb.force', true), 'off') = 'on' then
        return;
    end if;
    select count(*) into v_live from idemdb.keys as k where k.forget_at > pg_catalog.clock_timestamp();
    if v_live > 0 then
        raise exception 'this downgrade would forget % idempotency keys that are still remembered', v_live
            using errcode = 'ID004',
            hint = 'Requests repeated afterwards would run again. Wait until they are past keep_for, or force it: set local idemdb.force = ''on'' first.';
    end if;
end;
$$;
