-- Wrong: looks first, and takes it for granted that it is alone where it saw nothing.
create or replace function canary.process(p_consumer text, p_event_id text) returns text
language plpgsql as $$
begin
    perform from canary.inbox as i where i.consumer = p_consumer and i.event_id = p_event_id;
    if found then
        return 'duplicate';
    end if;
    insert into canary.inbox values (p_consumer, p_event_id) on conflict (consumer, event_id) do nothing;
    return 'first_seen';
end
$$;
