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
