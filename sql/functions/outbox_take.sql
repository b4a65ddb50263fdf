-- Of a group only the first message that is not dead can be taken: what is held, or waits for its retry, holds back the rest.
-- That is checked against the statement's snapshot, which is safe: a message only ever leaves the queue after being the first.
create function idemdb.outbox_take(p_topic text, p_limit integer, p_lease interval) returns setof idemdb.outbox_message
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_token bigint;
begin
    perform idemdb._check_names('topic', p_topic, 'topic', p_topic);
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit must be at least 1, not %', coalesce(p_limit::text, 'null')
            using errcode = 'ID004', hint = 'Take as many messages as you can deliver within the lease.';
    elsif p_lease is null or not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', coalesce(p_lease::text, 'null')
            using errcode = 'ID004', hint = 'Say for how long from now nobody else may take these messages.';
    end if;
    perform idemdb._check_writable('take messages');
    perform idemdb._bury_messages(p_topic, v_now);
    v_token := nextval('idemdb.outbox_token');
    return query
    -- A query of its own: joined to the update directly, the plan may run it again and take more than the limit.
    with free as materialized (
        select q.id from idemdb.outbox_messages as q
        where q.topic = p_topic and not q.dead and q.available_at <= v_now and coalesce(q.lease_until <= v_now, true)
            and (q.group_key is null or not exists (
                select from idemdb.outbox_messages as p
                where p.topic = q.topic and p.group_key = q.group_key and p.id < q.id and not p.dead
            ))
        order by q.id
        limit p_limit
        for update of q skip locked
    ),
    taken as (
        update idemdb.outbox_messages as m
        set claim_token = v_token, lease_until = v_now + p_lease, attempt = m.attempt + 1
        from free as f
        where m.topic = p_topic and m.id = f.id
        returning m.*
    )
    select
        t.id, t.claim_token, t.dedup_key, t.group_key, t.payload, t.headers, t.attempt, t.created_at,
        jsonb_build_object('lease_until', t.lease_until)
    from taken as t order by t.id;
end;
$$;

comment on function idemdb.outbox_take(text, integer, interval) is
'Take messages of a topic to deliver them: oldest first, nobody else gets them for the length of the lease.

Commit before delivering, then finish each message by outbox_done() or outbox_retry() with the claim_token that all messages of one take share. A message whose lease ran out is taken again, so deliver with the dedup key as the receiver''s idempotency key; after the topic''s max_attempts it is dead instead. Of a group only the first waiting message can be taken. Never waits for another taker.
Errors: ID004 invalid argument; 25006.';

revoke all on function idemdb.outbox_take(text, integer, interval) from public;
