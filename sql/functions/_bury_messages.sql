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
