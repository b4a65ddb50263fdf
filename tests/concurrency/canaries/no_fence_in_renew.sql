-- Wrong: renews whoever's claim it is.
create or replace function canary.renew(p_scope text, p_key text, p_claim_token bigint, p_lease interval)
returns timestamptz
language plpgsql as $$
begin
    update canary.keys as k
    set lease_until = clock_timestamp() + p_lease
    where k.scope = p_scope and k.key = p_key and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp() + p_lease;
end
$$;
