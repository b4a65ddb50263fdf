-- file: types/event_result.sql
-- What process_many answers. Frozen.
create type idemdb.event_result as (
    item integer,
    event_id text,
    outcome text
);

comment on type idemdb.event_result is
'Answer of process_many(), one row per position (from 1): first_seen (handle it), duplicate, too_old, dead.';

-- file: types/outbox_result.sql
-- What outbox_add answers. Frozen.
create type idemdb.outbox_result as (
    outcome text,
    id bigint
);

comment on type idemdb.outbox_result is
'Answer of outbox_add(): added, existing (the same message is there or was delivered), mismatch (another payload used the dedup key).';

-- file: types/outbox_message.sql
-- What outbox_take hands out. Frozen: new facts go into details.
create type idemdb.outbox_message as (
    id bigint,
    claim_token bigint,
    dedup_key text,
    group_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    created_at timestamptz,
    details jsonb
);

comment on type idemdb.outbox_message is
'A message taken from the outbox, to be delivered and then finished by outbox_done() or outbox_retry() with its claim_token.';

-- file: tables/inbox.sql
-- One row per event seen. Names are kept as digests: 92 bytes a row with its index, whatever the names' length.
create table idemdb.inbox (
    forget_at timestamptz not null,
    event_key uuid not null,
    consumer integer not null,
    dead boolean not null default false,
    primary key (consumer, event_key)
) with (autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.inbox is 'The events that each consumer has seen. Written by functions only.';
comment on column idemdb.inbox.forget_at is 'Until when the event is remembered; a dead one is remembered until somebody decides.';
comment on column idemdb.inbox.event_key is 'First 16 bytes of the SHA-256 of consumer and event id.';
comment on column idemdb.inbox.consumer is 'Hash of the consumer''s name; keeps a consumer''s rows together.';
comment on column idemdb.inbox.dead is 'Given up after max_attempts: a dead letter.';

insert into idemdb.sweep_cursor (what) values ('inbox');

revoke all on table idemdb.inbox from public;

-- file: tables/event_failures.sql
-- What process_failed() was told. Small: an event that is processed after all leaves it.
create table idemdb.event_failures (
    consumer text collate "C" not null,
    event_id text collate "C" not null,
    attempts integer not null,
    dead boolean not null,
    last_error text,
    first_failed_at timestamptz not null,
    last_failed_at timestamptz not null,
    forget_at timestamptz not null,
    primary key (consumer, event_id)
);

comment on table idemdb.event_failures is 'Events whose handler failed: those being retried, and the dead letters.';
comment on column idemdb.event_failures.consumer is 'Name of the consumer.';
comment on column idemdb.event_failures.event_id is 'Id of the event.';
comment on column idemdb.event_failures.attempts is 'How often its handler failed.';
comment on column idemdb.event_failures.dead is 'Given up after max_attempts.';
comment on column idemdb.event_failures.last_error is 'What went wrong the last time.';
comment on column idemdb.event_failures.first_failed_at is 'When its handler failed first.';
comment on column idemdb.event_failures.last_failed_at is 'When its handler failed last.';
comment on column idemdb.event_failures.forget_at is 'Until when a failure is counted that is neither repeated nor overcome.';

insert into idemdb.sweep_cursor (what) values ('event_failures');

revoke all on table idemdb.event_failures from public;

-- file: tables/streams.sql
-- One row per numbered stream: everything seen, as ranges.
create table idemdb.streams (
    consumer text collate "C" not null,
    stream text collate "C" not null,
    seen int8multirange not null default '{}',
    primary key (consumer, stream)
) with (fillfactor = 50);

comment on table idemdb.streams is 'Which offsets of a stream a consumer has seen.';
comment on column idemdb.streams.consumer is 'Name of the consumer.';
comment on column idemdb.streams.stream is 'Name of the stream, such as a topic and partition.';
comment on column idemdb.streams.seen is 'The offsets seen; one range for a stream without gaps.';

revoke all on table idemdb.streams from public;

-- file: tables/entity_versions.sql
-- One row per entity, kept for good: a late version must stay stale.
create table idemdb.entity_versions (
    version bigint not null,
    advanced_at timestamptz not null,
    consumer text collate "C" not null,
    entity text collate "C" not null,
    primary key (consumer, entity)
) with (fillfactor = 80);

comment on table idemdb.entity_versions is 'The newest version of each entity that a consumer has applied.';
comment on column idemdb.entity_versions.version is 'The newest version applied.';
comment on column idemdb.entity_versions.advanced_at is 'When it was applied.';
comment on column idemdb.entity_versions.consumer is 'Name of the consumer.';
comment on column idemdb.entity_versions.entity is 'What has versions, such as account/7.';

revoke all on table idemdb.entity_versions from public;

-- file: tables/outbox_keys.sql
-- One row per message ever added, until keep_for is over: never updated.
create table idemdb.outbox_keys (
    forget_at timestamptz not null,
    id bigint not null,
    topic text collate "C" not null,
    dedup_key text collate "C" not null,
    fingerprint bytea not null,
    primary key (topic, dedup_key)
) with (autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.outbox_keys is 'The dedup keys of the outbox: which messages were added. Written by functions only.';
comment on column idemdb.outbox_keys.forget_at is 'Until when the dedup key is remembered; longer while its message waits.';
comment on column idemdb.outbox_keys.id is 'The message.';
comment on column idemdb.outbox_keys.topic is 'Name of the topic.';
comment on column idemdb.outbox_keys.dedup_key is 'The key that makes the message unique within its topic.';
comment on column idemdb.outbox_keys.fingerprint is 'Digest of payload and group.';

insert into idemdb.sweep_cursor (what) values ('outbox_keys');

revoke all on table idemdb.outbox_keys from public;

-- file: tables/outbox_messages.sql
-- The queue: a row per message that is still to be delivered or is dead. Its indexes hold columns that never change, so taking
-- and retrying are heap-only updates.
create table idemdb.outbox_messages (
    id bigint generated always as identity,
    claim_token bigint,
    created_at timestamptz not null,
    available_at timestamptz not null,
    lease_until timestamptz,
    attempt integer not null default 0,
    dead boolean not null default false,
    topic text collate "C" not null,
    dedup_key text collate "C" not null,
    group_key text collate "C",
    payload jsonb not null,
    headers jsonb,
    last_error text,
    primary key (topic, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

create index outbox_messages_group on idemdb.outbox_messages (topic, group_key, id) where group_key is not null;

comment on table idemdb.outbox_messages is 'Messages of the outbox that are still to be delivered, and the dead ones. Written by functions only.';
comment on column idemdb.outbox_messages.id is 'Order of adding.';
comment on column idemdb.outbox_messages.claim_token is 'Fencing token of the take that holds the message.';
comment on column idemdb.outbox_messages.created_at is 'When it was added.';
comment on column idemdb.outbox_messages.available_at is 'Not to be taken earlier.';
comment on column idemdb.outbox_messages.lease_until is 'Until when the take that holds it may be alone.';
comment on column idemdb.outbox_messages.attempt is 'How often it was taken.';
comment on column idemdb.outbox_messages.dead is 'Given up after max_attempts: a dead letter.';
comment on column idemdb.outbox_messages.topic is 'Name of the topic.';
comment on column idemdb.outbox_messages.dedup_key is 'The key that makes the message unique within its topic.';
comment on column idemdb.outbox_messages.group_key is 'Messages of a group are delivered in their order.';
comment on column idemdb.outbox_messages.payload is 'What to deliver.';
comment on column idemdb.outbox_messages.headers is 'What goes with it.';
comment on column idemdb.outbox_messages.last_error is 'What went wrong the last time.';

revoke all on table idemdb.outbox_messages from public;

-- file: sequences/outbox_token.sql
-- Not a clock: a take that was rolled back must not share its token with the next.
create sequence idemdb.outbox_token;

comment on sequence idemdb.outbox_token is 'Claim tokens of outbox_take(): one per take, never twice.';

revoke all on sequence idemdb.outbox_token from public;

-- file: functions/_sweep_inbox.sql
create function idemdb._sweep_inbox(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.inbox as t
    where t.ctid = any (array(
        select d.ctid from idemdb.inbox as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now and not d.dead
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('events', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_inbox(tid, tid, bigint) is
'Internal. Drops at most p_limit events past keep_for between two places of the inbox; dead ones stay.';

revoke all on function idemdb._sweep_inbox(tid, tid, bigint) from public;

-- file: functions/_sweep_event_failures.sql
create function idemdb._sweep_event_failures(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.event_failures as t
    where t.ctid = any (array(
        select d.ctid from idemdb.event_failures as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now and not d.dead
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('failures', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_event_failures(tid, tid, bigint) is
'Internal. Drops at most p_limit failures that were neither repeated nor overcome for keep_for; dead letters stay.';

revoke all on function idemdb._sweep_event_failures(tid, tid, bigint) from public;

-- file: functions/_sweep_outbox_keys.sql
create function idemdb._sweep_outbox_keys(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_removed bigint;
begin
    delete from idemdb.outbox_keys as t
    where t.ctid = any (array(
        select d.ctid from idemdb.outbox_keys as d
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now
            and not exists (select from idemdb.outbox_messages as m where m.topic = d.topic and m.id = d.id)
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_removed = row_count;
    return query values ('dedup_keys', v_removed, null::boolean);
end;
$$;

comment on function idemdb._sweep_outbox_keys(tid, tid, bigint) is
'Internal. Drops at most p_limit dedup keys past keep_for whose message has left the outbox.';

revoke all on function idemdb._sweep_outbox_keys(tid, tid, bigint) from public;

-- file: functions/sweep.sql
create or replace function idemdb.sweep(p_limit integer default 10000) returns setof idemdb.sweep_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_table text;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit must be at least 1, not %', coalesce(p_limit::text, 'null')
            using errcode = 'ID004', hint = 'It bounds what one call removes, and so how long it takes.';
    end if;
    for v_table in select c.what from idemdb.sweep_cursor as c order by c.what loop
        return query select * from idemdb._sweep_table(v_table, p_limit);
    end loop;
end;
$$;

comment on function idemdb.sweep(integer) is
'Drop what is past its window (answers, keys, events, dedup keys), a small step at a time (for idemdb_admin).

Walks each table by ranges of blocks with a stored cursor, needs no index, waits for no lock and never touches a running, abandoned or unresolved key, a dead letter or a waiting message. One call removes at most p_limit of each kind and reads at most p_limit blocks of each table; call it again until pass_complete. Only one sweep works on a table at a time: another one answers at once that it removed nothing.
Returns a row for each kind: answers, keys, events, failures, dedup_keys.
Errors: ID004 p_limit below 1.';

revoke all on function idemdb.sweep(integer) from public;

-- file: functions/_check_names.sql
-- Names come in pairs (consumer and event id, topic and dedup key …), so they are checked in pairs.
create function idemdb._check_names(p_what text, p_name text, p_what_else text, p_name_else text) returns void
language plpgsql immutable
as $$
declare
    v_bad text := case when octet_length(p_name) between 1 and 255 then p_what_else else p_what end;
    v_size integer := octet_length(case v_bad when p_what then p_name else p_name_else end);
begin
    if idemdb._valid_key(p_name, p_name_else) then
        return;
    end if;
    raise exception 'the % must have 1 to 255 octets, this one %', v_bad,
        case when v_size is null then 'is null' else format('has %s', v_size) end
        using errcode = 'ID004', hint = format('Pass the %s as text, or a digest of it where it is longer.', v_bad);
end;
$$;

comment on function idemdb._check_names(text, text, text, text) is
'Internal. Raises ID004 unless both names (of a consumer, event, stream, entity, topic, message) have 1 to 255 octets.';

revoke all on function idemdb._check_names(text, text, text, text) from public;

-- file: functions/_check_writable.sql
create function idemdb._check_writable(p_what text) returns void
language plpgsql
as $$
begin
    if current_setting('transaction_read_only')::boolean then
        raise exception 'cannot % in a read-only transaction', p_what
            using errcode = 'read_only_sql_transaction',
            hint = case
                when pg_is_in_recovery() then 'Connect to the primary: this is a standby.'
                else 'Begin the transaction READ WRITE.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_writable(text) is
'Internal. Raises 25006 with a HINT in a read-only transaction and on a standby.';

revoke all on function idemdb._check_writable(text) from public;

-- file: functions/_settings_of.sql
-- A consumer or topic becomes known when it is first used, so that the views can name it. That is no part of any promise: where
-- another transaction is just writing it down, this one goes on without.
create function idemdb._settings_of(p_kind text, p_name text) returns jsonb
language plpgsql
as $$
declare
    v_settings jsonb;
begin
    select s.settings into v_settings from idemdb.settings as s where s.kind = p_kind and s.name = p_name;
    if not found and not current_setting('transaction_read_only')::boolean
        and pg_try_advisory_xact_lock(idemdb._key_lock('idemdb settings ' || p_kind, p_name))
    then
        insert into idemdb.settings (kind, name, settings, updated_at)
        values (p_kind, p_name, '{}', clock_timestamp()) on conflict (kind, name) do nothing;
    end if;
    return idemdb._default_settings(p_kind) || coalesce(v_settings, '{}');
end;
$$;

comment on function idemdb._settings_of(text, text) is
'Internal. All settings of a consumer or topic, which becomes known by this.';

revoke all on function idemdb._settings_of(text, text) from public;

-- file: functions/_consumer_hash.sql
create function idemdb._consumer_hash(p_consumer text) returns integer
language sql immutable parallel safe
return pg_catalog.hashtext(p_consumer collate "C");

comment on function idemdb._consumer_hash(text) is
'Internal. Where a consumer''s rows lie in the inbox. Two consumers may share it: the event key tells them apart.';

revoke all on function idemdb._consumer_hash(text) from public;

-- file: functions/_event_key.sql
-- Not immutable, though it is: convert_to() is declared stable, and the planner inlines only what is declared no better.
create function idemdb._event_key(p_consumer text, p_event_id text) returns uuid
language sql stable parallel safe
return encode(
    substring(sha256(convert_to(p_consumer, 'UTF8') || '\x00'::bytea || convert_to(p_event_id, 'UTF8')) for 16), 'hex'
)::uuid;

comment on function idemdb._event_key(text, text) is
'Internal. The identity (consumer, event id) in 16 bytes: a truncated SHA-256, which nobody finds a collision of by chance.';

revoke all on function idemdb._event_key(text, text) from public;

-- file: functions/_refuse_occurred_at.sql
create function idemdb._refuse_occurred_at(p_occurred_at timestamptz) returns void
language plpgsql immutable
as $$
begin
    raise exception 'an event cannot occur at %', p_occurred_at
        using errcode = 'ID004', hint = 'Pass the producer''s time of the event, or null where it is not known.';
end;
$$;

comment on function idemdb._refuse_occurred_at(timestamptz) is 'Internal. Raises ID004 for an infinite time.';

revoke all on function idemdb._refuse_occurred_at(timestamptz) from public;

-- file: functions/process.sql
create function idemdb.process(p_consumer text, p_event_id text, p_occurred_at timestamptz default null) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_key uuid := idemdb._event_key(p_consumer, p_event_id);
    v_now timestamptz;
    v_keep_for interval;
    v_dead boolean;
begin
    -- A duplicate ends here, whatever else was passed; no bad name is ever found.
    select i.dead into v_dead from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key;
    if found then
        return case when v_dead then 'dead' else 'duplicate' end;
    end if;
    if not idemdb._valid_key(p_consumer, p_event_id) or not isfinite(p_occurred_at) then
        perform idemdb._check_names('consumer', p_consumer, 'event id', p_event_id);
        perform idemdb._refuse_occurred_at(p_occurred_at);
    end if;
    v_now := clock_timestamp();
    v_keep_for := idemdb._settings_of('consumer', p_consumer) ->> 'keep_for';
    if p_occurred_at < v_now - v_keep_for then
        return 'too_old';
    end if;
    perform idemdb._check_writable('process an event');
    for v_try in 1..5 loop
        insert into idemdb.inbox (forget_at, event_key, consumer)
        values (greatest(p_occurred_at, v_now) + v_keep_for, v_key, v_consumer) on conflict (consumer, event_key) do nothing;
        if found then
            -- One that is just being counted stays until it is swept: waiting for process_failed() here would be a deadlock.
            delete from idemdb.event_failures as f
            where f.ctid = any (array(
                select d.ctid from idemdb.event_failures as d
                where d.consumer = p_consumer and d.event_id = p_event_id
                for update skip locked
            ));
            return 'first_seen';
        end if;
        select i.dead into v_dead from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key;
        if found then
            return case when v_dead then 'dead' else 'duplicate' end;
        end if;
    end loop;
    raise exception 'event "%" of consumer "%" came and went while it was being processed', p_event_id, p_consumer
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb.process(text, text, timestamptz) is
'Tell whether a consumer sees an event for the first time, and remember it with this transaction''s commit.

Call it in the transaction that handles the event: handling and "seen" then commit or vanish together. Another transaction that is just processing the same event is waited for. p_occurred_at: when the event happened; one older than the consumer''s keep_for could have been forgotten, so it is too_old and not remembered.
Outcomes: first_seen (handle it), duplicate, too_old, dead (given up, see dead_letter; do not handle it).
Errors: ID004 invalid argument; 25006 a new event in a read-only transaction; 40001 repeat the transaction.';

revoke all on function idemdb.process(text, text, timestamptz) from public;

-- file: functions/_check_events.sql
create function idemdb._check_events(p_consumer text, p_event_ids text[], p_occurred_at timestamptz[]) returns void
language plpgsql
as $$
declare
    v_bad bigint;
begin
    if p_event_ids is null then
        raise exception 'the event ids are null' using errcode = 'ID004', hint = 'Pass an array of ids, empty for none.';
    elsif cardinality(p_occurred_at) <> cardinality(p_event_ids) then
        raise exception '% event ids but % times', cardinality(p_event_ids), cardinality(p_occurred_at)
            using errcode = 'ID004', hint = 'Pass one time per event, null where it is not known, or no array at all.';
    end if;
    perform idemdb._check_names('consumer', p_consumer, 'event id', 'any');
    select min(e.item) into v_bad
    from unnest(p_event_ids, p_occurred_at) with ordinality as e (event_id, occurred_at, item)
    where not idemdb._valid_key(e.event_id, 'any') or not isfinite(e.occurred_at);
    if v_bad is not null then
        raise exception 'event % of the batch has no valid id or time', v_bad
            using errcode = 'ID004', hint = 'An event id has 1 to 255 octets; its time is finite or null.';
    end if;
    perform idemdb._check_writable('process events');
end;
$$;

comment on function idemdb._check_events(text, text[], timestamptz[]) is
'Internal. Raises ID004 for a batch of events that process_many() refuses, 25006 where it cannot write.';

revoke all on function idemdb._check_events(text, text[], timestamptz[]) from public;

-- file: functions/process_many.sql
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

-- file: functions/process_failed.sql
create function idemdb.process_failed(p_consumer text, p_event_id text, p_error text) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_consumer integer := idemdb._consumer_hash(p_consumer);
    v_key uuid := idemdb._event_key(p_consumer, p_event_id);
    v_now timestamptz := clock_timestamp();
    v_settings jsonb;
    v_forget_at timestamptz;
    v_attempts integer;
    v_dead boolean;
begin
    perform idemdb._check_names('consumer', p_consumer, 'event id', p_event_id);
    perform idemdb._check_writable('count a failure');
    v_settings := idemdb._settings_of('consumer', p_consumer);
    v_forget_at := v_now + (v_settings ->> 'keep_for')::interval;

    -- The row is locked before the inbox is looked at: two failures of one event count one after the other.
    insert into idemdb.event_failures as f (
        consumer, event_id, attempts, dead, last_error, first_failed_at, last_failed_at, forget_at
    )
    values (p_consumer, p_event_id, 1, false, p_error, v_now, v_now, v_forget_at)
    on conflict (consumer, event_id) do update
    set attempts = f.attempts + 1,
        last_error = excluded.last_error,
        last_failed_at = excluded.last_failed_at,
        forget_at = excluded.forget_at
    returning f.attempts into v_attempts;

    if v_attempts >= (v_settings ->> 'max_attempts')::integer then
        insert into idemdb.inbox (forget_at, event_key, consumer, dead)
        values (v_forget_at, v_key, v_consumer, true) on conflict (consumer, event_key) do nothing;
    end if;
    select i.dead into v_dead from idemdb.inbox as i where i.consumer = v_consumer and i.event_key = v_key;
    if v_dead then
        update idemdb.event_failures as f set dead = true where f.consumer = p_consumer and f.event_id = p_event_id;
        return 'dead';
    elsif not v_dead then
        -- It was handled after all, by a transaction whose commit the caller did not hear of.
        delete from idemdb.event_failures as f where f.consumer = p_consumer and f.event_id = p_event_id;
    end if;
    return 'retrying';
end;
$$;

comment on function idemdb.process_failed(text, text, text) is
'Count a failure of an event''s handler; after the consumer''s max_attempts the event is dead.

Call it in a transaction of its own, after the one that failed was rolled back. A dead event is a dead letter until dead_letter() replays or drops it. One that was handled meanwhile is not counted.
Returns retrying (deliver it again) or dead (acknowledge it).
Errors: ID004 invalid argument; 25006.';

revoke all on function idemdb.process_failed(text, text, text) from public;

-- file: functions/_check_offsets.sql
create function idemdb._check_offsets(p_offsets bigint[], p_floor bigint) returns void
language plpgsql immutable
as $$
begin
    if p_offsets is null or array_position(p_offsets, null) is not null then
        raise exception 'an offset is null'
            using errcode = 'ID004', hint = 'Pass an array of offsets without nulls, empty for none.';
    elsif exists (select from unnest(p_offsets) as o where o < 0 or o = 9223372036854775807) or p_floor < 0 then
        raise exception 'an offset is negative or larger than a stream can have'
            using errcode = 'ID004', hint = 'Offsets count from 0; the largest is 9223372036854775806.';
    end if;
end;
$$;

comment on function idemdb._check_offsets(bigint[], bigint) is
'Internal. Raises ID004 for offsets that process_offsets() refuses.';

revoke all on function idemdb._check_offsets(bigint[], bigint) from public;

-- file: functions/process_offsets.sql
create function idemdb.process_offsets(p_consumer text, p_stream text, p_offsets bigint[], p_floor bigint default null)
returns bigint[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_given int8multirange;
    v_below int8multirange := '{}';
    v_seen int8multirange;
    v_fresh int8multirange;
begin
    perform idemdb._check_names('consumer', p_consumer, 'stream', p_stream);
    perform idemdb._check_offsets(p_offsets, p_floor);
    select coalesce(range_agg(int8range(o, o, '[]')), '{}') into v_given from unnest(p_offsets) as o;
    if p_floor > 0 then
        v_below := int8multirange(int8range(0, p_floor));
    end if;

    -- A batch that was seen as a whole writes nothing and waits for nobody.
    select s.seen into v_seen from idemdb.streams as s where s.consumer = p_consumer and s.stream = p_stream;
    if v_given + v_below <@ coalesce(v_seen, '{}') then
        return '{}';
    end if;
    perform idemdb._check_writable('process offsets');
    if v_seen is null then
        perform idemdb._settings_of('consumer', p_consumer);
        insert into idemdb.streams (consumer, stream) values (p_consumer, p_stream)
        on conflict (consumer, stream) do nothing;
    end if;
    select s.seen + v_below into v_seen from idemdb.streams as s
    where s.consumer = p_consumer and s.stream = p_stream for update;

    -- Looked up in what is new, which is as small as the batch, not in what was seen.
    v_fresh := v_given - v_seen;
    update idemdb.streams as s set seen = v_seen + v_given
    where s.consumer = p_consumer and s.stream = p_stream and s.seen <> v_seen + v_given;
    return coalesce((select array_agg(distinct o order by o) from unnest(p_offsets) as o where v_fresh @> o), '{}');
end;
$$;

comment on function idemdb.process_offsets(text, text, bigint[], bigint) is
'Tell which offsets of a numbered stream (a Kafka partition, a replication slot) a consumer sees for the first time, and remember them with this transaction''s commit.

Exact for batches out of order, overlapping and with gaps. Everything below p_floor counts as seen, which keeps the state of a stream with gaps small. A stream is processed by one transaction at a time: competing consumers use process_many().
Returns the new offsets, ascending.
Errors: ID004 null, negative or too large offsets; 25006; 40001 under REPEATABLE READ.';

revoke all on function idemdb.process_offsets(text, text, bigint[], bigint) from public;

-- file: functions/advance.sql
create function idemdb.advance(p_consumer text, p_entity text, p_version bigint) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version bigint;
begin
    perform idemdb._check_names('consumer', p_consumer, 'entity', p_entity);
    if p_version is null then
        raise exception 'the version is null' using errcode = 'ID004', hint = 'Pass the number that grows with every change.';
    end if;
    for v_try in 1..5 loop
        select v.version into v_version from idemdb.entity_versions as v
        where v.consumer = p_consumer and v.entity = p_entity;
        if v_version >= p_version then
            return 'stale';
        end if;
        perform idemdb._check_writable('advance an entity');
        if v_version is not null then
            update idemdb.entity_versions as v set version = p_version, advanced_at = clock_timestamp()
            where v.consumer = p_consumer and v.entity = p_entity and v.version < p_version;
        else
            perform idemdb._settings_of('consumer', p_consumer);
            insert into idemdb.entity_versions (version, advanced_at, consumer, entity)
            values (p_version, clock_timestamp(), p_consumer, p_entity) on conflict (consumer, entity) do nothing;
        end if;
        if found then
            return 'applied';
        end if;
    end loop;
    raise exception 'entity "%" of consumer "%" changed too often meanwhile', p_entity, p_consumer
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb.advance(text, text, bigint) is
'Let the newest version of an entity win: late and repeated versions are stale.

Call it in the transaction that applies the version. A transaction that is just advancing the same entity is waited for. Versions are kept for good.
Outcomes: applied (apply it), stale (an equal or newer version was applied: nothing to do, nothing was written).
Errors: ID004 invalid argument; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.advance(text, text, bigint) from public;

-- file: functions/_check_message.sql
create function idemdb._check_message(
    p_topic text, p_dedup_key text, p_payload jsonb, p_headers jsonb, p_group text, p_available_at timestamptz
) returns void
language plpgsql immutable
as $$
begin
    perform idemdb._check_names('topic', p_topic, 'dedup key', p_dedup_key);
    perform idemdb._check_names('topic', p_topic, 'group', coalesce(p_group, 'none'));
    if p_payload is null then
        raise exception 'the payload is null' using errcode = 'ID004', hint = 'Pass what is to be delivered as jsonb.';
    elsif jsonb_typeof(p_headers) <> 'object' then
        raise exception 'the headers must be a JSON object, not %', jsonb_typeof(p_headers)
            using errcode = 'ID004', hint = 'Pass names and values, or null for none.';
    elsif not isfinite(p_available_at) then
        raise exception 'a message cannot become available at %', p_available_at
            using errcode = 'ID004', hint = 'Pass a time, or null for at once.';
    end if;
end;
$$;

comment on function idemdb._check_message(text, text, jsonb, jsonb, text, timestamptz) is
'Internal. Raises ID004 for a message that outbox_add() refuses.';

revoke all on function idemdb._check_message(text, text, jsonb, jsonb, text, timestamptz) from public;

-- file: functions/outbox_add.sql
create function idemdb.outbox_add(
    p_topic text,
    p_dedup_key text,
    p_payload jsonb,
    p_headers jsonb default null,
    p_group text default null,
    p_available_at timestamptz default null
) returns idemdb.outbox_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_fingerprint bytea;
    v_settings jsonb;
    v_known idemdb.outbox_keys;
    v_id bigint;
begin
    perform idemdb._check_message(p_topic, p_dedup_key, p_payload, p_headers, p_group, p_available_at);
    v_fingerprint := idemdb.fingerprint(jsonb_build_array(p_payload, p_group));
    for v_try in 1..5 loop
        select * into v_known from idemdb.outbox_keys as k where k.topic = p_topic and k.dedup_key = p_dedup_key;
        if found then
            return row(
                case when v_known.fingerprint = v_fingerprint then 'existing' else 'mismatch' end, v_known.id
            )::idemdb.outbox_result;
        end if;
        perform idemdb._check_writable('add a message');
        v_settings := idemdb._settings_of('topic', p_topic);
        v_id := nextval('idemdb.outbox_messages_id_seq');
        insert into idemdb.outbox_keys (forget_at, id, topic, dedup_key, fingerprint)
        values (v_now + (v_settings ->> 'keep_for')::interval, v_id, p_topic, p_dedup_key, v_fingerprint)
        on conflict (topic, dedup_key) do nothing;
        if found then
            insert into idemdb.outbox_messages (
                id, created_at, available_at, topic, dedup_key, group_key, payload, headers
            ) overriding system value
            values (v_id, v_now, coalesce(p_available_at, v_now), p_topic, p_dedup_key, p_group, p_payload, p_headers);
            if (v_settings ->> 'notify')::boolean then
                perform pg_notify('idemdb_outbox', p_topic);
            end if;
            return row('added', v_id)::idemdb.outbox_result;
        end if;
    end loop;
    raise exception 'dedup key "%" of topic "%" came and went while the message was being added', p_dedup_key, p_topic
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb.outbox_add(text, text, jsonb, jsonb, text, timestamptz) is
'Add a message to the transactional outbox, once per topic and dedup key: it goes out if, and only if, this transaction commits.

p_payload: what to deliver. p_headers: what goes with it. p_group: messages of one group are delivered in their order, if their producers are serialised. p_available_at: not before. The dedup key is remembered for the topic''s keep_for, also after delivery. Another transaction that is just adding the same dedup key is waited for.
Outcomes: added; existing (the same payload and group: nothing was written); mismatch (the dedup key was used for another payload or group).
Errors: ID004 invalid argument; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.outbox_add(text, text, jsonb, jsonb, text, timestamptz) from public;

-- file: functions/_bury_messages.sql
create function idemdb._bury_messages(p_topic text, p_now timestamptz) returns void
language plpgsql
as $$
begin
    update idemdb.outbox_messages as m
    set dead = true,
        claim_token = null,
        lease_until = null,
        last_error = coalesce(m.last_error || '; ', '') || 'its taker never came back'
    where m.topic = p_topic and m.id = any (array(
        select q.id from idemdb.outbox_messages as q
        where q.topic = p_topic and not q.dead and q.lease_until <= p_now
            and q.attempt >= (idemdb._settings_of('topic', p_topic) ->> 'max_attempts')::integer
        for update of q skip locked
    ));
end;
$$;

comment on function idemdb._bury_messages(text, timestamptz) is
'Internal. Makes messages dead that were taken max_attempts times and whose last taker let the lease run out: one that kills every relay must not go on for ever.';

revoke all on function idemdb._bury_messages(text, timestamptz) from public;

-- file: functions/outbox_take.sql
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

-- file: functions/outbox_done.sql
create function idemdb.outbox_done(p_topic text, p_claim_token bigint, p_ids bigint[]) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wanted integer;
    v_done integer;
begin
    perform idemdb._check_names('topic', p_topic, 'topic', p_topic);
    if p_claim_token is null or p_ids is null or array_position(p_ids, null) is not null then
        raise exception 'the claim token or an id is null'
            using errcode = 'ID004', hint = 'Pass the claim_token and ids that outbox_take() answered.';
    end if;
    select count(distinct i) into v_wanted from unnest(p_ids) as i;
    delete from idemdb.outbox_messages as m
    where m.topic = p_topic and m.id = any (p_ids) and m.claim_token = p_claim_token and not m.dead;
    get diagnostics v_done = row_count;
    if v_done < v_wanted then
        raise exception '% of % messages of topic "%" are no longer held by claim %', v_wanted - v_done, v_wanted, p_topic, p_claim_token
            using errcode = 'ID003', hint = 'Somebody took them after the lease ran out, or they were finished before; roll this transaction back, finish the messages one by one, and take fewer or lease longer.';
    end if;
    return v_done;
end;
$$;

comment on function idemdb.outbox_done(text, bigint, bigint[]) is
'Finish delivered messages: they leave the outbox, their dedup keys are remembered.

Allowed after the lease ran out, as long as nobody else took them. Returns how many.
Errors: ID003 when any of them was lost: none is finished. ID004 invalid argument.';

revoke all on function idemdb.outbox_done(text, bigint, bigint[]) from public;

-- file: functions/outbox_retry.sql
create function idemdb.outbox_retry(p_topic text, p_claim_token bigint, p_id bigint, p_delay interval, p_error text)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_dead boolean;
begin
    perform idemdb._check_names('topic', p_topic, 'topic', p_topic);
    if p_claim_token is null or p_id is null then
        raise exception 'the claim token or the id is null'
            using errcode = 'ID004', hint = 'Pass the claim_token and id that outbox_take() answered.';
    elsif p_delay is null or not idemdb._valid_wait(p_delay) then
        raise exception 'the delay must not be negative (nor above 1000 years), as % is', coalesce(p_delay::text, 'null')
            using errcode = 'ID004', hint = 'Zero makes the message available at once.';
    end if;
    update idemdb.outbox_messages as m
    set claim_token = null,
        lease_until = null,
        available_at = clock_timestamp() + p_delay,
        last_error = p_error,
        dead = m.attempt >= (idemdb._settings_of('topic', p_topic) ->> 'max_attempts')::integer
    where m.topic = p_topic and m.id = p_id and m.claim_token = p_claim_token and not m.dead
    returning m.dead into v_dead;
    if not found then
        raise exception 'message % of topic "%" is no longer held by claim %', p_id, p_topic, p_claim_token
            using errcode = 'ID003', hint = 'Somebody took it after the lease ran out, or it was finished: leave it alone.';
    end if;
    return case when v_dead then 'dead' else 'retrying' end;
end;
$$;

comment on function idemdb.outbox_retry(text, bigint, bigint, interval, text) is
'Give a message back that could not be delivered: it is available again after p_delay, or dead after the topic''s max_attempts.

While it waits it holds back its group; a dead one does not, and is a dead letter until dead_letter() replays or drops it.
Returns retrying or dead.
Errors: ID003 when it was lost; ID004 invalid argument.';

revoke all on function idemdb.outbox_retry(text, bigint, bigint, interval, text) from public;

-- file: functions/_settle_dead_event.sql
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

-- file: functions/_settle_dead_message.sql
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

-- file: functions/dead_letter.sql
create function idemdb.dead_letter(p_kind text, p_name text, p_id text, p_action text) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settled boolean;
begin
    if p_kind is null or p_kind not in ('consumer', 'topic') then
        raise exception 'the kind must be consumer or topic, not %', coalesce(quote_literal(p_kind), 'null')
            using errcode = 'ID004', hint = 'View dead_letters lists what there is.';
    elsif p_action is null or p_action not in ('replay', 'drop') then
        raise exception 'the action must be replay or drop, not %', coalesce(quote_literal(p_action), 'null')
            using errcode = 'ID004', hint = 'replay tries again with fresh attempts, drop gives up for good.';
    end if;
    perform idemdb._check_names(p_kind, p_name, 'id', p_id);
    v_settled := case p_kind
        when 'consumer' then idemdb._settle_dead_event(p_name, p_id, p_action)
        else idemdb._settle_dead_message(p_name, p_id, p_action)
    end;
    if not v_settled then
        raise exception 'there is no dead letter "%" of % "%"', p_id, p_kind, p_name
            using errcode = 'ID004', hint = 'View dead_letters lists what there is.';
    end if;
    insert into idemdb.audit (happened_at, actor, action, scope, key)
    values (clock_timestamp(), idemdb._actor(), format('dead_letter:%s:%s', p_kind, p_action), p_name, p_id);
    return case p_action when 'replay' then 'replayed' else 'dropped' end;
end;
$$;

comment on function idemdb.dead_letter(text, text, text, text) is
'Decide by hand what becomes of a dead event or message (for idemdb_admin).

p_kind consumer: p_name the consumer, p_id the event id; replay makes the event new again, for when it is delivered once more; drop makes it a duplicate, remembered for keep_for from now. p_kind topic: p_name the topic, p_id the message''s id; replay makes it available at once, drop deletes it, its dedup key stays. Leaves an audit row.
Returns replayed or dropped.
Errors: ID004 when there is no such dead letter, or an unknown kind or action.';

revoke all on function idemdb.dead_letter(text, text, text, text) from public;

-- file: functions/version.sql
create or replace function idemdb.version() returns integer
language sql immutable parallel safe
return 2;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;

-- file: views/event_overview.sql
create view idemdb.event_overview as
select
    s.name as consumer,
    (
        select count(*) from idemdb.inbox as i
        where i.consumer = idemdb._consumer_hash(s.name) and not i.dead
    ) as remembered,
    (
        select count(*) from idemdb.event_failures as f
        where f.consumer = s.name and not f.dead
    ) as retrying,
    (
        select count(*) from idemdb.event_failures as f
        where f.consumer = s.name and f.dead
    ) as dead,
    (
        select max(f.last_failed_at) from idemdb.event_failures as f
        where f.consumer = s.name
    ) as last_failed_at,
    (
        select count(*) from idemdb.streams as t
        where t.consumer = s.name
    ) as streams,
    (
        select count(*) from idemdb.entity_versions as v
        where v.consumer = s.name
    ) as entities,
    idemdb._default_settings('consumer') || s.settings as settings
from idemdb.settings as s
where s.kind = 'consumer';

comment on view idemdb.event_overview is
'What each consumer remembers, what is being retried and what is dead. Reads the whole inbox.';

revoke all on table idemdb.event_overview from public;

-- file: views/outbox_overview.sql
create view idemdb.outbox_overview as
select
    s.name as topic,
    count(m.id) filter (where not m.dead and m.lease_until is null and m.available_at <= clock_timestamp()) as waiting,
    count(m.id) filter (where not m.dead and m.lease_until is null and m.available_at > clock_timestamp()) as delayed,
    count(m.id) filter (where not m.dead and m.lease_until > clock_timestamp()) as taken,
    count(m.id) filter (where not m.dead and m.lease_until <= clock_timestamp()) as abandoned,
    count(m.id) filter (where m.dead) as dead,
    min(m.created_at) filter (where not m.dead) as oldest_created_at,
    idemdb._default_settings('topic') || s.settings as settings
from idemdb.settings as s
left join idemdb.outbox_messages as m on s.name = m.topic
where s.kind = 'topic'
group by s.name, s.settings;

comment on view idemdb.outbox_overview is
'What of each topic waits, is delayed, taken, abandoned by its taker, or dead. Reads the whole queue.';

revoke all on table idemdb.outbox_overview from public;

-- file: views/dead_letters.sql
create view idemdb.dead_letters as
select
    'consumer' as kind,
    f.consumer as name,
    f.event_id as id,
    f.attempts,
    f.last_error,
    f.first_failed_at as created_at,
    f.last_failed_at as died_at
from idemdb.event_failures as f
where f.dead
union all
select
    'topic' as kind,
    m.topic as name,
    m.id::text as id,
    m.attempt as attempts,
    m.last_error,
    m.created_at,
    null as died_at
from idemdb.outbox_messages as m
where m.dead;

comment on view idemdb.dead_letters is 'Events and messages that were given up and wait for dead_letter().';

revoke all on table idemdb.dead_letters from public;
