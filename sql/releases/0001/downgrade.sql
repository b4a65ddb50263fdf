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

drop view idemdb.unresolved;

drop view idemdb.key_overview;

drop function idemdb.version;

drop function idemdb.sweep;

drop function idemdb._sweep_table;

drop function idemdb._sweep_keys;

drop function idemdb.configure;

drop function idemdb._check_settings;

drop function idemdb._default_settings;

drop function idemdb.forget;

drop function idemdb.resolve;

drop function idemdb._check_resolve;

drop function idemdb._actor;

drop function idemdb.execute;

drop function idemdb._execute_end;

drop function idemdb._execute_call;

drop function idemdb._execute_begin;

drop function idemdb._execute_exclude;

drop function idemdb.lookup;

drop function idemdb.release;

drop function idemdb.renew;

drop function idemdb.checkpoint;

drop function idemdb.complete;

drop function idemdb.claim;

drop function idemdb.fingerprint;

drop function idemdb._admit;

drop function idemdb._take_over;

drop function idemdb._await_holder;

drop function idemdb._executes_other;

drop function idemdb._recall;

drop function idemdb._in_progress;

drop function idemdb._mismatch;

drop function idemdb._claim_options;

drop function idemdb._read_answer;

drop function idemdb._read_interval;

drop function idemdb._check_members;

drop function idemdb._refuse_claim;

drop function idemdb._refuse_lease;

drop function idemdb._refuse_token;

drop function idemdb._refuse_holder;

drop function idemdb._refuse_arguments;

drop function idemdb._refuse_key;

drop function idemdb._valid_wait;

drop function idemdb._valid_period;

drop function idemdb._valid_key;

drop function idemdb._execution;

drop function idemdb._key_state;

drop function idemdb._key_lock;

drop function idemdb._milliseconds;

drop function idemdb._next_token;

drop function idemdb._created_at;

drop function idemdb._claimed_at;

drop table idemdb.audit;

drop table idemdb.sweep_cursor;

drop table idemdb.settings;

drop table idemdb.keys;

drop type idemdb.sweep_result;

drop type idemdb.key_record;

drop type idemdb.claim_result;
