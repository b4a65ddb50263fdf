-- Wrong: completes whoever's claim it is, as long as nobody has completed.
create or replace function canary.complete(
    p_scope text, p_key text, p_claim_token bigint, p_status integer, p_result jsonb
) returns timestamptz
language plpgsql as $$
begin
    update canary.keys as k
    set completed_at = clock_timestamp(), status = p_status, result = p_result
    where k.scope = p_scope and k.key = p_key and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp();
end
$$;
