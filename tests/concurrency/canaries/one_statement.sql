-- Wrong: one statement has one snapshot, so it finds no row when the first claimer commits while it waits.
create or replace function canary.claim(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb
) returns canary.claim_result
language sql as $$
    with inserted as (
        insert into canary.keys (scope, key, fingerprint, claim_token, lease_until)
        values (
            p_scope, p_key, p_fingerprint, extract(epoch from clock_timestamp()) * 1000000,
            clock_timestamp() + p_lease
        )
        on conflict (scope, key) do nothing
        returning claim_token
    )
    select 'started', claim_token, null::integer, null::jsonb from inserted
    union all
    select case when k.fingerprint = p_fingerprint then 'replayed' else 'mismatch' end, null, k.status, k.result
    from canary.keys as k
    where k.scope = p_scope and k.key = p_key
$$;
