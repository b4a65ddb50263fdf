-- Waiters take the courtesy lock in shared mode, so that they do not queue behind each other. The block is always left by an
-- exception: that gives the lock back at once, whether it was got or not, and restores lock_timeout.
create function idemdb._await_holder(p_lock bigint, p_wait interval) returns void
language plpgsql
as $$
declare
    v_began timestamptz := clock_timestamp();
begin
    perform set_config('lock_timeout', idemdb._milliseconds(p_wait)::text, true);
    perform pg_advisory_xact_lock_shared(p_lock);
    raise exception using errcode = 'ID000', message = 'the holder has ended';
exception
    when sqlstate 'ID000' or lock_not_available then
        -- No holder, so only other waiters, who come and go all at once after a rollback: step out of each other's way.
        if clock_timestamp() < v_began + interval '5 milliseconds' then
            perform pg_sleep_for(least(p_wait, random() * interval '50 milliseconds'));
        end if;
end;
$$;

comment on function idemdb._await_holder(bigint, interval) is
'Internal. Waits until the transaction that holds a key''s courtesy lock has ended, p_wait (above zero) at most.';

revoke all on function idemdb._await_holder(bigint, interval) from public;
