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
