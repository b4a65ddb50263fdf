-- Wrong: one statement has one snapshot, so it finds no row when the first consumer commits while it waits.
create or replace function canary.process(p_consumer text, p_event_id text) returns text
language sql as $$
    with inserted as (
        insert into canary.inbox values (p_consumer, p_event_id)
        on conflict (consumer, event_id) do nothing
        returning 1
    )
    select 'first_seen' from inserted
    union all
    select 'duplicate' from canary.inbox as i where i.consumer = p_consumer and i.event_id = p_event_id
$$;
