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

drop view idemdb.dead_letters;

drop view idemdb.outbox_overview;

drop view idemdb.event_overview;

drop view idemdb.unresolved;

drop view idemdb.key_overview;

drop function idemdb.version;

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

drop function idemdb.sweep;

drop function idemdb._sweep_table;

drop function idemdb._sweep_outbox_keys;

drop function idemdb._sweep_event_failures;

drop function idemdb._sweep_inbox;

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

drop sequence idemdb.outbox_token;

drop table idemdb.outbox_messages;

drop table idemdb.outbox_keys;

drop table idemdb.entity_versions;

drop table idemdb.streams;

drop table idemdb.event_failures;

drop table idemdb.inbox;

drop table idemdb.audit;

drop table idemdb.sweep_cursor;

drop table idemdb.settings;

drop table idemdb.keys;

drop type idemdb.outbox_message;

drop type idemdb.outbox_result;

drop type idemdb.event_result;

drop type idemdb.sweep_result;

drop type idemdb.key_record;

drop type idemdb.claim_result;
