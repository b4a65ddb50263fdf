-- A small protocol that is right, so that each canary differs from it by its one mistake.
create schema canary;

create table canary.keys (
    scope text collate "C",
    key text collate "C",
    fingerprint bytea not null,
    claim_token bigint not null,
    lease_until timestamptz,
    replay_until timestamptz not null default 'infinity',
    forget_at timestamptz not null default 'infinity',
    completed_at timestamptz,
    status integer,
    result jsonb,
    primary key (scope, key)
);

create type canary.claim_result as (
    outcome text,
    claim_token bigint,
    status integer,
    result jsonb
);

create function canary.claim(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb
) returns canary.claim_result
language plpgsql as $$
declare
    v_row canary.keys;
    v_token bigint;
    v_until timestamptz;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_scope || ' ' || p_key, 0));
    v_token := extract(epoch from clock_timestamp()) * 1000000;
    v_until := clock_timestamp() + p_lease;
    insert into canary.keys (scope, key, fingerprint, claim_token, lease_until)
    values (p_scope, p_key, p_fingerprint, v_token, v_until)
    on conflict (scope, key) do nothing;
    if found then
        return ('started', v_token, null, null)::canary.claim_result;
    end if;
    select * into strict v_row from canary.keys as k where k.scope = p_scope and k.key = p_key;
    if v_row.fingerprint <> p_fingerprint then
        return ('mismatch', null, null, null)::canary.claim_result;
    end if;
    if v_row.lease_until is null or v_row.completed_at is not null then
        return ('replayed', null, v_row.status, v_row.result)::canary.claim_result;
    end if;
    if v_row.lease_until > clock_timestamp() then
        return ('in_progress', null, null, null)::canary.claim_result;
    end if;
    update canary.keys as k
    set claim_token = greatest(v_token, k.claim_token + 1), lease_until = v_until
    where k.scope = p_scope and k.key = p_key and k.claim_token = v_row.claim_token and k.completed_at is null
    returning k.claim_token into v_token;
    if not found then
        return ('in_progress', null, null, null)::canary.claim_result;
    end if;
    return ('started', v_token, null, null)::canary.claim_result;
end
$$;

create function canary.complete(
    p_scope text, p_key text, p_claim_token bigint, p_status integer, p_result jsonb
) returns timestamptz
language plpgsql as $$
begin
    update canary.keys as k
    set completed_at = clock_timestamp(), status = p_status, result = p_result
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp();
end
$$;

create function canary.renew(p_scope text, p_key text, p_claim_token bigint, p_lease interval)
returns timestamptz
language plpgsql as $$
begin
    update canary.keys as k
    set lease_until = clock_timestamp() + p_lease
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp() + p_lease;
end
$$;

create function canary.checkpoint(
    p_scope text, p_key text, p_claim_token bigint, p_recovery_point text, p_data jsonb
) returns timestamptz
language sql
return canary.renew(p_scope, p_key, p_claim_token, '60s');

create function canary.release(p_scope text, p_key text, p_claim_token bigint) returns timestamptz
language plpgsql as $$
begin
    delete from canary.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null;
    if not found then
        raise exception 'claim lost' using errcode = 'ID003';
    end if;
    return clock_timestamp();
end
$$;

create function canary.lookup(p_scope text, p_key text) returns canary.keys
language sql
begin atomic
    select k from canary.keys as k where k.scope = p_scope and k.key = p_key;
end;

create function canary.sweep(p_limit integer) returns bigint
language sql
begin atomic
    with gone as (
        delete from canary.keys as k
        where k.forget_at < clock_timestamp()
            and (k.completed_at is not null or k.lease_until is null)
        returning 1
    )
    select count(*) from gone;
end;

create function canary.forget(p_scope text, p_key text) returns bigint
language sql
begin atomic
    with gone as (
        delete from canary.keys as k
        where k.scope = p_scope and k.key = p_key and (k.completed_at is not null or k.lease_until is null)
        returning 1
    )
    select count(*) from gone;
end;

grant usage on schema canary to public;
grant select, insert, update, delete on canary.keys to public;
