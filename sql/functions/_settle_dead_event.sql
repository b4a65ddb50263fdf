create function idemdb._settle_dead_event(p_consumer text, p_event_id text, p_action text) returns boolean
language plpgsql
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_key uuid := idemdb._event_key(p_consumer, p_event_id);
begin
    delete from idemdb.event_failures as f where f.consumer = p_consumer and f.event_id = p_event_id and f.dead;
    if not found then
        return false;
    elsif p_action = 'replay' then
        delete from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key and i.dead;
    else
        -- Remembered from now on: a letter may have been dead for longer than keep_for.
        update idemdb.inbox as i
        set dead = false,
            forget_at = greatest(
                i.forget_at, clock_timestamp() + (idemdb._settings_of('consumer', p_consumer) ->> 'keep_for')::interval
            )
        where i.consumer = v_consumer and i.event_key = v_key and i.dead;
    end if;
    return true;
end;
$$;

comment on function idemdb._settle_dead_event(text, text, text) is
'Internal. Replays or drops a dead event; false where there is none.';

revoke all on function idemdb._settle_dead_event(text, text, text) from public;
