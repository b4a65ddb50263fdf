create function idemdb._settle_dead_message(p_topic text, p_id text, p_action text) returns boolean
language plpgsql
as $$
begin
    if p_action = 'replay' then
        update idemdb.outbox_messages as m set dead = false, attempt = 0, available_at = clock_timestamp()
        where m.topic = p_topic and m.id::text = p_id and m.dead;
    else
        delete from idemdb.outbox_messages as m where m.topic = p_topic and m.id::text = p_id and m.dead;
    end if;
    return found;
end;
$$;

comment on function idemdb._settle_dead_message(text, text, text) is
'Internal. Replays or drops a dead message; false where there is none.';

revoke all on function idemdb._settle_dead_message(text, text, text) from public;
