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
