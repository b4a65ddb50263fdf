-- Wrong: inserts a batch in the order in which it came, so that two batches can wait for each other.
create or replace function canary.process_many(p_consumer text, p_event_ids text[])
returns table (item bigint, event_id text, outcome text)
language plpgsql as $$
#variable_conflict use_column
declare
    v_fresh text[];
begin
    with fresh as (
        insert into canary.inbox
        select p_consumer, e from unnest(p_event_ids) as e
        on conflict (consumer, event_id) do nothing
        returning event_id
    )
    select coalesce(array_agg(event_id), '{}') into v_fresh from fresh;
    return query
    select e.item, e.id, case
        when e.id = any (v_fresh) and row_number() over (partition by e.id order by e.item) = 1 then 'first_seen'
        else 'duplicate'
    end
    from unnest(p_event_ids) with ordinality as e (id, item);
end
$$;
