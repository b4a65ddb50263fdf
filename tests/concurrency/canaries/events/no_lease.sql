-- Wrong: what is taken is locked only until the take commits, and then anybody's again.
create or replace function canary.outbox_take(p_topic text, p_limit integer, p_lease interval)
returns setof canary.outbox_messages
language sql as $$
    with free as materialized (
        select m.id from canary.outbox_messages as m
        where m.topic = p_topic and not m.done
        order by m.id limit p_limit for update skip locked
    )
    update canary.outbox_messages as m set claim_token = nextval('canary.outbox_token')
    from free where free.id = m.id
    returning m.*
$$;
