-- Wrong: releases whoever's claim it is.
create or replace function canary.release(p_scope text, p_key text, p_claim_token bigint) returns timestamptz
language plpgsql as $$
begin
    delete from canary.keys as k
    where k.scope = p_scope and k.key = p_key and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp();
end
$$;
