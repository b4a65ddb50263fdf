-- One INSERT for the whole batch, in the order of the event keys so that two batches cannot deadlock. What it does not insert
-- has been seen by somebody whose transaction has committed; nothing of that row is needed but whether it is dead.
create function idemdb.process_many(p_consumer text, p_event_ids text[], p_occurred_at timestamptz[] default null)
returns setof idemdb.event_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_now timestamptz := clock_timestamp();
    v_oldest timestamptz;
    v_keep_for interval;
    v_keys uuid[];
    v_fresh uuid[];
begin
    perform idemdb._check_events(p_consumer, p_event_ids, p_occurred_at);
    v_keep_for := idemdb._settings_of('consumer', p_consumer) ->> 'keep_for';
    v_oldest := v_now - v_keep_for;
    v_keys := array(
        select idemdb._event_key(p_consumer, e.event_id) from unnest(p_event_ids) with ordinality as e (event_id, item)
        order by e.item
    );

    with fresh as (
        insert into idemdb.inbox (forget_at, event_key, consumer)
        select greatest(max(e.occurred_at), v_now) + v_keep_for, e.event_key, v_consumer
        from unnest(v_keys, p_occurred_at) as e (event_key, occurred_at)
        where coalesce(e.occurred_at >= v_oldest, true)
        group by e.event_key
        order by e.event_key
        on conflict (consumer, event_key) do nothing
        returning event_key
    )
    select coalesce(array_agg(f.event_key), '{}') into v_fresh from fresh as f;
    if v_fresh <> '{}' and exists (select from idemdb.event_failures as f where f.consumer = p_consumer) then
        -- Skips what is just being counted, as process() does.
        delete from idemdb.event_failures as f
        where f.ctid = any (array(
            select d.ctid from idemdb.event_failures as d
            where d.consumer = p_consumer and d.event_id = any (p_event_ids)
                and idemdb._event_key(p_consumer, d.event_id) = any (v_fresh)
            for update skip locked
        ));
    end if;

    if cardinality(v_fresh) = cardinality(v_keys) then
        return query
            select e.item::integer, e.event_id, 'first_seen' from unnest(p_event_ids) with ordinality as e (event_id, item);
        return;
    end if;
    return query
    select
        e.item::integer,
        e.event_id,
        case
            when f.event_key is not null and row_number() over (partition by e.event_key order by e.item) = 1 then 'first_seen'
            when f.event_key is not null then 'duplicate'
            when i.dead then 'dead'
            when i.dead is null and e.occurred_at < v_oldest then 'too_old'
            else 'duplicate'
        end
    from unnest(p_event_ids, v_keys, p_occurred_at) with ordinality as e (event_id, event_key, occurred_at, item)
    left join unnest(v_fresh) as f (event_key) on f.event_key = e.event_key
    -- Looked up one by one: a join may read all events of the consumer.
    left join lateral (
        select x.dead from idemdb.inbox as x
        where f.event_key is null and x.consumer = v_consumer and x.event_key = e.event_key
        limit 1
    ) as i on true
    order by e.item;
end;
$$;

comment on function idemdb.process_many(text, text[], timestamptz[]) is
'Tell for a whole batch of events which of them a consumer sees for the first time, and remember them with this transaction''s commit.

p_occurred_at: null, or one time (or null) per event. One answer per position; of an event that stands in the batch twice the first position is first_seen. Never deadlocks with another batch of the same consumer.
Outcomes: as in process().
Errors: ID004 invalid argument (the position is named); 25006; 40001.';

revoke all on function idemdb.process_many(text, text[], timestamptz[]) from public;
