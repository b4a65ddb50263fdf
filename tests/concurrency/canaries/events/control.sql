-- A small inbox and outbox that are right, so that each canary differs from them by its one mistake.
create schema canary;

create table canary.inbox (
    consumer text collate "C",
    event_id text collate "C",
    primary key (consumer, event_id)
);

create table canary.outbox_messages (
    id bigint generated always as identity primary key,
    topic text not null,
    dedup_key text not null,
    group_key text,
    payload jsonb not null,
    claim_token bigint,
    lease_until timestamptz,
    done boolean not null default false,
    unique (topic, dedup_key)
);

create table canary.relay (
    topic text primary key,
    last_id bigint not null
);

create sequence canary.outbox_token;

create function canary.configure(p_kind text, p_name text, p_settings jsonb) returns jsonb
language sql
return p_settings;

create function canary.process(p_consumer text, p_event_id text) returns text
language plpgsql as $$
begin
    perform from canary.inbox as i where i.consumer = p_consumer and i.event_id = p_event_id;
    if found then
        return 'duplicate';
    end if;
    insert into canary.inbox values (p_consumer, p_event_id) on conflict (consumer, event_id) do nothing;
    return case when found then 'first_seen' else 'duplicate' end;
end
$$;

create function canary.process_many(p_consumer text, p_event_ids text[])
returns table (item bigint, event_id text, outcome text)
language plpgsql as $$
#variable_conflict use_column
declare
    v_fresh text[];
begin
    with fresh as (
        insert into canary.inbox
        select distinct p_consumer, e from unnest(p_event_ids) as e order by 2
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

create function canary.outbox_add(p_topic text, p_dedup_key text, p_payload jsonb, p_group text)
returns table (outcome text, id bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint;
begin
    insert into canary.outbox_messages (topic, dedup_key, payload, group_key)
    values (p_topic, p_dedup_key, p_payload, p_group) on conflict (topic, dedup_key) do nothing
    returning id into v_id;
    if found then
        return query values ('added', v_id);
    else
        return query select 'existing', m.id from canary.outbox_messages as m
        where m.topic = p_topic and m.dedup_key = p_dedup_key;
    end if;
end
$$;

create function canary.outbox_take(p_topic text, p_limit integer, p_lease interval)
returns setof canary.outbox_messages
language sql as $$
    with free as materialized (
        select m.id from canary.outbox_messages as m
        where m.topic = p_topic and not m.done and coalesce(m.lease_until < clock_timestamp(), true)
        order by m.id limit p_limit for update skip locked
    )
    update canary.outbox_messages as m
    set claim_token = nextval('canary.outbox_token'), lease_until = clock_timestamp() + p_lease
    from free where free.id = m.id
    returning m.*
$$;

create function canary.outbox_done(p_topic text, p_claim_token bigint, p_ids bigint[]) returns void
language plpgsql as $$
begin
    update canary.outbox_messages as m set done = true
    where m.topic = p_topic and m.id = any (p_ids) and m.claim_token = p_claim_token and not m.done;
    if not found then
        raise exception 'lost' using errcode = 'ID003';
    end if;
end
$$;

grant usage on schema canary to public;
grant all on all tables in schema canary to public;
grant all on all sequences in schema canary to public;
