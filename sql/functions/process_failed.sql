create function idemdb.process_failed(p_consumer text, p_event_id text, p_error text) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_key uuid := idemdb._event_key(p_consumer, p_event_id);
    v_now timestamptz := clock_timestamp();
    v_settings jsonb;
    v_forget_at timestamptz;
    v_attempts integer;
    v_dead boolean;
begin
    perform idemdb._check_names('consumer', p_consumer, 'event id', p_event_id);
    perform idemdb._check_writable('count a failure');
    v_settings := idemdb._settings_of('consumer', p_consumer);
    v_forget_at := v_now + (v_settings ->> 'keep_for')::interval;

    -- The row is locked before the inbox is looked at: two failures of one event count one after the other.
    insert into idemdb.event_failures as f (
        consumer, event_id, attempts, dead, last_error, first_failed_at, last_failed_at, forget_at
    )
    values (p_consumer, p_event_id, 1, false, p_error, v_now, v_now, v_forget_at)
    on conflict (consumer, event_id) do update
    set attempts = f.attempts + 1,
        last_error = excluded.last_error,
        last_failed_at = excluded.last_failed_at,
        forget_at = excluded.forget_at
    returning f.attempts into v_attempts;

    if v_attempts >= (v_settings ->> 'max_attempts')::integer then
        insert into idemdb.inbox (forget_at, event_key, consumer, dead)
        values (v_forget_at, v_key, v_consumer, true) on conflict (consumer, event_key) do nothing;
    end if;
    select i.dead into v_dead from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key;
    if v_dead then
        update idemdb.event_failures as f set dead = true where f.consumer = p_consumer and f.event_id = p_event_id;
        return 'dead';
    elsif not v_dead then
        -- It was handled after all, by a transaction whose commit the caller did not hear of.
        delete from idemdb.event_failures as f where f.consumer = p_consumer and f.event_id = p_event_id;
    end if;
    return 'retrying';
end;
$$;

comment on function idemdb.process_failed(text, text, text) is
'Count a failure of an event''s handler; after the consumer''s max_attempts the event is dead.

Call it in a transaction of its own, after the one that failed was rolled back. A dead event is a dead letter until dead_letter() replays or drops it. One that was handled meanwhile is not counted.
Returns retrying (deliver it again) or dead (acknowledge it).
Errors: ID004 invalid argument; 25006.';

revoke all on function idemdb.process_failed(text, text, text) from public;
