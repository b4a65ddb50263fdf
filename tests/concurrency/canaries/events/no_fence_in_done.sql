-- Wrong: whoever says so finishes a message, also one that another relay took over.
create or replace function canary.outbox_done(p_topic text, p_claim_token bigint, p_ids bigint[]) returns void
language sql as $$
    update canary.outbox_messages as m set done = true where m.topic = p_topic and m.id = any (p_ids)
$$;
