-- Wrong: remembers the last id it has read, so that a message with a lower one that commits later is lost.
create or replace function canary.outbox_take(p_topic text, p_limit integer, p_lease interval)
returns setof canary.outbox_messages
language plpgsql as $$
declare
    v_message canary.outbox_messages;
begin
    insert into canary.relay values (p_topic, 0) on conflict (topic) do nothing;
    for v_message in
        select m.* from canary.outbox_messages as m join canary.relay as r on r.topic = m.topic
        where m.topic = p_topic and m.id > r.last_id
        order by m.id limit p_limit
    loop
        update canary.relay set last_id = v_message.id where topic = p_topic;
        update canary.outbox_messages as m set claim_token = nextval('canary.outbox_token')
        where m.id = v_message.id returning * into v_message;
        return next v_message;
    end loop;
end
$$;
