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
