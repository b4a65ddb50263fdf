-- file: schema.sql
-- The schema that holds everything of idemdb. It must belong to the role that installs: in a schema that somebody else
-- created, that somebody could replace our functions.
do $$
begin
    create schema if not exists idemdb;
    if not pg_catalog.pg_has_role(current_user, (
        select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'idemdb'
    ), 'usage') then
        raise exception 'schema "idemdb" belongs to another role'
            using errcode = 'insufficient_privilege',
            hint = 'Have its owner install idemdb, or run: alter schema idemdb owner to ' || quote_ident(current_user);
    end if;
end;
$$;

comment on schema idemdb is 'Idempotency enforced by PostgreSQL. Manual: \df+ idemdb.*, \dT+ idemdb.*, \dv+ idemdb.*';

revoke all on schema idemdb from public;

-- file: types/claim_result.sql
-- What claim and execute answer. Frozen: new facts go into details.
create type idemdb.claim_result as (
    outcome text,
    claim_token bigint,
    attempt integer,
    recovery_point text,
    recovery_data jsonb,
    status integer,
    headers jsonb,
    body bytea,
    result jsonb,
    reference text,
    retry_after_ms integer,
    claimed_at timestamptz,
    completed_at timestamptz,
    details jsonb
);

comment on type idemdb.claim_result is
'Answer of claim() and execute(). outcome: started | resumed (you hold the key; claim_token is yours), replayed (status, headers, body, result, reference as stored), in_progress (retry_after_ms), mismatch (another request used this key), expired (reference only), unresolved (a person must decide).';

-- file: types/key_record.sql
-- What lookup answers. Frozen: new facts go into details.
create type idemdb.key_record as (
    state text,
    scope text,
    key text,
    fingerprint bytea,
    claim_token bigint,
    attempt integer,
    recovery_point text,
    recovery_data jsonb,
    status integer,
    headers jsonb,
    body bytea,
    result jsonb,
    reference text,
    last_error text,
    created_at timestamptz,
    claimed_at timestamptz,
    lease_until timestamptz,
    completed_at timestamptz,
    replay_until timestamptz,
    forget_at timestamptz,
    details jsonb
);

comment on type idemdb.key_record is
'Answer of lookup(). state: unknown | running | abandoned (lease over, the next claim takes over) | unresolved (lease over, held for a person) | released | done | expired (answer dropped, key remembered).';

-- file: types/sweep_result.sql
-- What sweep answers. Frozen.
create type idemdb.sweep_result as (
    what text,
    removed bigint,
    pass_complete boolean
);

comment on type idemdb.sweep_result is
'Answer of sweep(), one row per kind of thing: what was removed, how many, and whether the walk has gone round the table once.';

-- file: tables/keys.sql
-- One row per idempotency key. The state is derived from these columns by _key_state() and never stored:
--   lease_until null         bound: the row lives and dies with the transaction claim_xid, so once visible to others it is done
--   lease_until a time       leased: running until then
--   lease_until '-infinity'  released
--   completed_at not null    done, whatever the lease says
-- Only the primary key is indexed: completion must stay a heap-only (HOT) update, hence also the fillfactor, and an index for
-- expiry would cost every claim 60 bytes of WAL. The order of the columns saves bytes, too: wide ones come first, so that none is
-- lost to alignment, and scope, key and fingerprint last, so that WAL leaves them out of completion's update.
create table idemdb.keys (
    claim_token bigint not null,
    claim_xid xid8,
    forget_at timestamptz not null,
    replay_until timestamptz not null,
    created_at timestamptz,
    lease_until timestamptz,
    completed_at timestamptz,
    attempt integer not null default 1,
    status integer,
    hold boolean not null default false,
    result jsonb,
    reference text,
    headers jsonb,
    body bytea,
    recovery_point text,
    recovery_data jsonb,
    last_error text,
    scope text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    primary key (scope, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table idemdb.keys is 'One row per idempotency key: who holds it, and the answer to replay. Written by functions only.';
comment on column idemdb.keys.claim_token is
'Fencing token: the clock in microseconds at the claim, greater with every takeover. It is also when the present claim was made.';
comment on column idemdb.keys.claim_xid is 'The transaction that made the present claim. Null for a key that execute wrote.';
comment on column idemdb.keys.created_at is 'When the key was first claimed, if its token has changed since.';
comment on column idemdb.keys.forget_at is 'Until when the key is remembered. Fixed at the claim.';
comment on column idemdb.keys.replay_until is
'Until when the answer is kept. Before completion: the claim plus replay_for, from which completion computes its own.';
comment on column idemdb.keys.lease_until is 'Null: bound to its transaction. -infinity: released. Else until when the holder may be alone.';
comment on column idemdb.keys.completed_at is 'When the answer was stored.';
comment on column idemdb.keys.attempt is 'How often the key was claimed, takeovers included.';
comment on column idemdb.keys.status is 'Status of the answer, such as an HTTP status.';
comment on column idemdb.keys.hold is 'An expired lease means unresolved (true) or may be taken over (false). The first claim decides.';
comment on column idemdb.keys.scope is 'Tenant or user, and operation. Never empty.';
comment on column idemdb.keys.key is 'The idempotency key: opaque bytes within its scope.';
comment on column idemdb.keys.fingerprint is 'Digest of the request, for the key''s whole life.';
comment on column idemdb.keys.result is 'JSON result of the answer.';
comment on column idemdb.keys.reference is 'What the answer is about, for example a payment''s id. Outlives the answer.';
comment on column idemdb.keys.headers is 'Headers of the answer.';
comment on column idemdb.keys.body is 'Body of the answer, byte for byte.';
comment on column idemdb.keys.recovery_point is 'Last step that a leased holder finished.';
comment on column idemdb.keys.recovery_data is 'What the holder needs to go on from there.';
comment on column idemdb.keys.last_error is 'Why the claim was last released.';

revoke all on table idemdb.keys from public;

-- file: tables/settings.sql
-- Settings of consumers and topics, written by configure().
create table idemdb.settings (
    kind text collate "C" not null,
    name text collate "C" not null,
    settings jsonb not null,
    updated_at timestamptz not null,
    primary key (kind, name)
);

comment on table idemdb.settings is 'What configure() was told; what is absent has its default.';
comment on column idemdb.settings.kind is 'consumer or topic.';
comment on column idemdb.settings.name is 'Name of the consumer or topic.';
comment on column idemdb.settings.settings is 'The settings that differ from the defaults.';
comment on column idemdb.settings.updated_at is 'When they were last changed.';

revoke all on table idemdb.settings from public;

-- file: tables/sweep_cursor.sql
-- Where sweep() goes on: it walks each table by ranges of blocks and needs no index.
create table idemdb.sweep_cursor (
    what text collate "C" primary key,
    next_block bigint not null default 0,
    pass_completed_at timestamptz
);

comment on table idemdb.sweep_cursor is 'How far sweep() has walked each table.';
comment on column idemdb.sweep_cursor.what is 'The table.';
comment on column idemdb.sweep_cursor.next_block is 'The block to go on at.';
comment on column idemdb.sweep_cursor.pass_completed_at is 'When the last walk over the whole table ended.';

insert into idemdb.sweep_cursor (what) values ('keys');

revoke all on table idemdb.sweep_cursor from public;

-- file: tables/audit.sql
-- What people did to keys by hand.
create table idemdb.audit (
    id bigint generated always as identity primary key,
    happened_at timestamptz not null,
    actor text not null,
    action text not null,
    scope text not null,
    key text,
    note text,
    details jsonb
);

comment on table idemdb.audit is 'One row per resolve() and forget(): who, when, what, why.';
comment on column idemdb.audit.id is 'Order of the entries.';
comment on column idemdb.audit.happened_at is 'The database''s clock.';
comment on column idemdb.audit.actor is 'The login role, and after a slash the role it had set.';
comment on column idemdb.audit.action is 'resolve:completed, resolve:retry, resolve:forget, forget.';
comment on column idemdb.audit.scope is 'The scope acted on.';
comment on column idemdb.audit.key is 'The key, or null for a whole scope.';
comment on column idemdb.audit.note is 'The reason given.';
comment on column idemdb.audit.details is 'State, token and attempt before; number of keys erased.';

revoke all on table idemdb.audit from public;

-- file: functions/_claimed_at.sql
-- The time in a claim token. One SQL expression, so that the planner can inline it.
create function idemdb._claimed_at(p_claim_token bigint) returns timestamptz
language sql immutable parallel safe
return pg_catalog.to_timestamp(p_claim_token operator(pg_catalog./) 1000000::double precision);

comment on function idemdb._claimed_at(bigint) is
'Internal. When the claim with this token was made: a claim token is the clock in microseconds.';

revoke all on function idemdb._claimed_at(bigint) from public;

-- file: functions/_created_at.sql
create function idemdb._created_at(p_key idemdb.keys) returns timestamptz
language sql immutable parallel safe
return coalesce(p_key.created_at, idemdb._claimed_at(p_key.claim_token));

comment on function idemdb._created_at(idemdb.keys) is 'Internal. When a key was first claimed.';

revoke all on function idemdb._created_at(idemdb.keys) from public;

-- file: functions/_next_token.sql
-- A token for a claim made now, greater than the one before it even where the clock was set back.
create function idemdb._next_token(p_now timestamptz, p_before bigint default 0) returns bigint
language sql immutable parallel safe
return greatest(
    (extract(epoch from p_now) operator(pg_catalog.*) 1000000)::bigint, p_before operator(pg_catalog.+) 1
);

comment on function idemdb._next_token(timestamptz, bigint) is
'Internal. The claim token (fencing token) for a claim made at p_now that follows the token p_before.';

revoke all on function idemdb._next_token(timestamptz, bigint) from public;

-- file: functions/_milliseconds.sql
create function idemdb._milliseconds(p_period interval) returns integer
language sql immutable parallel safe
return greatest(1, least(ceil(extract(epoch from p_period) operator(pg_catalog.*) 1000), 2147483647))::integer;

comment on function idemdb._milliseconds(interval) is
'Internal. The period in whole milliseconds, from 1 to what an integer holds.';

revoke all on function idemdb._milliseconds(interval) from public;

-- file: functions/_key_lock.sql
create function idemdb._key_lock(p_scope text, p_key text) returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended(p_key collate "C", pg_catalog.hashtextextended(p_scope collate "C", 0));

comment on function idemdb._key_lock(text, text) is
'Internal. The advisory lock on which others wait while a key is being claimed. A collision makes them wait longer, no more.';

revoke all on function idemdb._key_lock(text, text) from public;

-- file: functions/_key_state.sql
-- The one place that says which state a key is in (the rows of docs/explanation/states.md).
create function idemdb._key_state(p_key idemdb.keys, p_now timestamptz, p_xid xid8) returns text
language sql immutable parallel safe
return case
    when p_key.completed_at is not null or (p_key.lease_until is null and p_key.claim_xid is distinct from p_xid)
        then case when p_key.replay_until > p_now then 'done' else 'expired' end
    when p_key.lease_until = '-infinity' then 'released'
    when p_key.claim_xid = p_xid then 'open'
    when p_key.lease_until > p_now then 'running'
    when p_key.hold then 'unresolved'
    else 'abandoned'
end;

comment on function idemdb._key_state(idemdb.keys, timestamptz, xid8) is
'Internal. State of a key as seen at p_now by transaction p_xid: done | expired | released | open (claimed by p_xid itself, not completed) | running | unresolved | abandoned.';

revoke all on function idemdb._key_state(idemdb.keys, timestamptz, xid8) from public;

-- file: functions/_execution.sql
-- While execute runs a function its key is nowhere in a table, so execute leaves a mark for claims inside that function, in a
-- setting that ends with the transaction or the savepoint.
create function idemdb._execution(p_lock bigint, p_fingerprint bytea) returns text
language sql immutable parallel safe
return ' ' operator(pg_catalog.||) pg_catalog.encode(pg_catalog.int8send(p_lock), 'hex') operator(pg_catalog.||) ':'
    operator(pg_catalog.||) pg_catalog.encode(p_fingerprint, 'hex');

comment on function idemdb._execution(bigint, bytea) is
'Internal. The mark in setting idemdb.executing of a key whose function is being run by this transaction.';

revoke all on function idemdb._execution(bigint, bytea) from public;

-- file: functions/_valid_key.sql
-- Checked by every function that takes a key; one SQL expression, so that the planner can inline it.
create function idemdb._valid_key(p_scope text, p_key text) returns boolean
language sql immutable parallel safe
return coalesce(octet_length(p_scope) between 1 and 255 and octet_length(p_key) between 1 and 255, false);

comment on function idemdb._valid_key(text, text) is 'Internal. Whether scope and key each have 1 to 255 octets.';

revoke all on function idemdb._valid_key(text, text) from public;

-- file: functions/_valid_period.sql
create function idemdb._valid_period(p_period interval) returns boolean
language sql immutable parallel safe
return coalesce(
    p_period operator(pg_catalog.>) interval '0' and p_period operator(pg_catalog.<) interval '1000 years', true
);

comment on function idemdb._valid_period(interval) is
'Internal. Whether a lease or window is above zero and can be added to the clock; null is the default.';

revoke all on function idemdb._valid_period(interval) from public;

-- file: functions/_valid_wait.sql
create function idemdb._valid_wait(p_wait interval) returns boolean
language sql immutable parallel safe
return coalesce(p_wait between interval '0' and interval '1000 years', true);

comment on function idemdb._valid_wait(interval) is
'Internal. Whether a wait is zero or more and can be added to the clock; null is the default.';

revoke all on function idemdb._valid_wait(interval) from public;

-- file: functions/_refuse_key.sql
create function idemdb._refuse_key(p_scope text, p_key text) returns void
language plpgsql immutable
as $$
declare
    v_what text := case when octet_length(p_scope) between 1 and 255 then 'key' else 'scope' end;
    v_size integer := octet_length(case v_what when 'key' then p_key else p_scope end);
begin
    raise exception 'idempotency % must have 1 to 255 octets, this one %', v_what,
        case when v_size is null then 'is null' else format('has %s', v_size) end
        using errcode = 'ID004',
        hint = case
            when v_size > 255 then format('Pass a digest of it, such as encode(sha256(convert_to(%s, ''UTF8'')), ''hex'').', v_what)
            when v_what = 'scope' then 'A scope names the tenant or user and the operation, for example ''shop-7:pay''.'
            else 'Take the key that the client sent, or make one per logical request (a UUID).'
        end;
end;
$$;

comment on function idemdb._refuse_key(text, text) is 'Internal. Raises ID004 for a scope or key that _valid_key refused.';

revoke all on function idemdb._refuse_key(text, text) from public;

-- file: functions/_refuse_arguments.sql
create function idemdb._refuse_arguments(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval
) returns void
language plpgsql immutable
as $$
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    elsif p_fingerprint is null then
        raise exception 'the fingerprint is null'
            using errcode = 'ID004',
            hint = 'Pass idemdb.fingerprint(request as jsonb), or ''\x'' for a request without parameters.';
    elsif not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', p_lease
            using errcode = 'ID004', hint = 'Leave it null to bind the claim to this transaction.';
    elsif not idemdb._valid_wait(p_wait) then
        raise exception 'the wait must not be negative (nor above 1000 years), as % is', p_wait
            using errcode = 'ID004', hint = 'Zero answers at once, null waits for 2 seconds.';
    end if;
end;
$$;

comment on function idemdb._refuse_arguments(text, text, bytea, interval, interval) is
'Internal. Raises ID004 for a scope, key, fingerprint, lease or wait that a claim refuses; does nothing for good ones.';

revoke all on function idemdb._refuse_arguments(text, text, bytea, interval, interval) from public;

-- file: functions/_refuse_holder.sql
create function idemdb._refuse_holder(p_scope text, p_key text) returns void
language plpgsql immutable
as $$
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    raise exception 'the claim token is null'
        using errcode = 'ID004', hint = 'Pass the claim_token that claim() answered with outcome started or resumed.';
end;
$$;

comment on function idemdb._refuse_holder(text, text) is
'Internal. Raises ID004 for the scope, key or missing token of a function that only the holder may call.';

revoke all on function idemdb._refuse_holder(text, text) from public;

-- file: functions/_refuse_token.sql
create function idemdb._refuse_token(p_scope text, p_key text, p_claim_token bigint) returns void
language plpgsql
as $$
declare
    v_row idemdb.keys;
begin
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    raise exception 'claim % of key "%" in scope "%" is lost: %', p_claim_token, p_key, p_scope, case
        when v_row.scope is null then 'there is no such claim'
        when v_row.claim_token <> p_claim_token then 'another claim followed it'
        when v_row.completed_at is not null then 'it is completed'
        when v_row.lease_until = '-infinity' then 'it was released'
        else 'it was bound to a transaction that has ended'
    end
        using errcode = 'ID003',
        hint = 'Roll this transaction back, then claim the key again: that tells what became of it.';
end;
$$;

comment on function idemdb._refuse_token(text, text, bigint) is
'Internal. Raises ID003 and says why the token is not, or no longer, the holder''s.';

revoke all on function idemdb._refuse_token(text, text, bigint) from public;

-- file: functions/_refuse_lease.sql
create function idemdb._refuse_lease(p_scope text, p_key text, p_claim_token bigint) returns void
language plpgsql
as $$
begin
    perform from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token
        and k.lease_until is null and k.completed_at is null and k.claim_xid = pg_current_xact_id_if_assigned();
    if found then
        raise exception 'the claim of key "%" in scope "%" is bound to this transaction and has no lease', p_key, p_scope
            using errcode = 'ID004', hint = 'Claim with p_lease for work that outlives a transaction.';
    end if;
    perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
end;
$$;

comment on function idemdb._refuse_lease(text, text, bigint) is
'Internal. Raises ID004 where the claim is bound to this transaction, else ID003.';

revoke all on function idemdb._refuse_lease(text, text, bigint) from public;

-- file: functions/_refuse_claim.sql
-- The rare reasons why a claim that has to write may not go ahead. The caller has seen that one of them applies.
create function idemdb._refuse_claim(p_scope text, p_key text) returns void
language plpgsql
as $$
begin
    if pg_is_in_recovery() then
        raise exception 'cannot claim key "%" in scope "%" on a standby', p_key, p_scope
            using errcode = 'read_only_sql_transaction', hint = 'Connect to the primary: a replica can only replay finished keys.';
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'cannot claim key "%" in scope "%" in a read-only transaction', p_key, p_scope
            using errcode = 'read_only_sql_transaction', hint = 'Begin the transaction READ WRITE: a claim is written.';
    end if;
    raise exception 'key "%" in scope "%" is already claimed by this transaction', p_key, p_scope
        using errcode = 'ID007',
        hint = 'Claim a key once per transaction and read all columns from one call: select * from idemdb.claim(...), not (idemdb.claim(...)).*. Do not retry.';
end;
$$;

comment on function idemdb._refuse_claim(text, text) is
'Internal. Raises 25006 on a standby and in a read-only transaction, else ID007: claimed by this very transaction.';

revoke all on function idemdb._refuse_claim(text, text) from public;

-- file: functions/_check_members.sql
-- Unknown members are refused, not ignored: a misspelt option must not silently have no effect.
create function idemdb._check_members(p_what text, p_given jsonb, p_known text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
begin
    if jsonb_typeof(p_given) <> 'object' then
        raise exception '% must be a JSON object, not %', p_what, jsonb_typeof(p_given)
            using errcode = 'ID004', hint = format('Its members may be: %s.', array_to_string(p_known, ', '));
    end if;
    select min(m) into v_unknown from jsonb_object_keys(p_given) as m where m <> all (p_known);
    if v_unknown is not null then
        raise exception 'unknown member "%" in %', v_unknown, p_what
            using errcode = 'ID004', hint = format('Known are: %s.', array_to_string(p_known, ', '));
    end if;
end;
$$;

comment on function idemdb._check_members(text, jsonb, text[]) is
'Internal. Raises ID004 unless p_given is null or an object with known members only.';

revoke all on function idemdb._check_members(text, jsonb, text[]) from public;

-- file: functions/_read_interval.sql
-- An interval out of a jsonb setting.
create function idemdb._read_interval(p_settings jsonb, p_name text) returns interval
language plpgsql immutable
as $$
declare
    v_period interval;
begin
    v_period := p_settings ->> p_name;
    if not idemdb._valid_period(v_period) then
        raise interval_field_overflow;
    end if;
    return v_period;
exception
    when data_exception then
        raise exception '% must be an interval above zero, not %', p_name, p_settings -> p_name
            using errcode = 'ID004', hint = 'Write it as text that PostgreSQL reads as an interval: "24 hours", "30 days".';
end;
$$;

comment on function idemdb._read_interval(jsonb, text) is
'Internal. The named member as an interval, null where it is absent or null; ID004 where it is none or not above zero.';

revoke all on function idemdb._read_interval(jsonb, text) from public;

-- file: functions/_read_answer.sql
create function idemdb._read_answer(p_answer idemdb.claim_result, p_document text) returns idemdb.claim_result
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_document jsonb;
    v_answer idemdb.claim_result := p_answer;
begin
    begin
        v_document := p_document;
        perform idemdb._check_members('an answer', v_document, '{status,headers,body_base64,result,reference}');
        v_answer.status := v_document ->> 'status';
        v_answer.headers := nullif(v_document -> 'headers', 'null');
        v_answer.body := decode(v_document ->> 'body_base64', 'base64');
        v_answer.result := v_document -> 'result';
        v_answer.reference := v_document ->> 'reference';
    exception
        when data_exception then
            raise exception 'the answer is malformed: %', sqlerrm
                using errcode = 'ID004',
                hint = 'An answer is a JSON object: {"status": 402, "headers": {}, "body_base64": "", "result": {}, "reference": ""}.';
    end;
    return v_answer;
end;
$$;

comment on function idemdb._read_answer(idemdb.claim_result, text) is
'Internal. Fills the answer''s fields from its JSON document; ID004 where that is malformed. Null for none.';

revoke all on function idemdb._read_answer(idemdb.claim_result, text) from public;

-- file: functions/_claim_options.sql
create function idemdb._claim_options(
    p_options jsonb,
    out replay_for interval,
    out keep_for interval,
    out hold boolean,
    out raises boolean
)
language plpgsql immutable
as $$
begin
    perform idemdb._check_members('p_options', p_options, '{replay_for,keep_for,abandoned,raise}');
    replay_for := idemdb._read_interval(p_options, 'replay_for');
    keep_for := idemdb._read_interval(p_options, 'keep_for');
    if replay_for > keep_for then
        raise exception 'keep_for (%) is shorter than replay_for (%)', keep_for, replay_for
            using errcode = 'ID004',
            hint = 'A key must be remembered at least as long as its answer is kept; raise keep_for or lower replay_for.';
    end if;
    -- A single one given moves the default of the other out of its way.
    replay_for := coalesce(replay_for, least(interval '24 hours', keep_for));
    keep_for := coalesce(keep_for, greatest(interval '30 days', replay_for));

    if coalesce(p_options ->> 'abandoned', 'retry') not in ('retry', 'hold') then
        raise exception 'abandoned must be "retry" or "hold", not %', p_options -> 'abandoned'
            using errcode = 'ID004',
            hint = '"retry" lets the next claim take over when the lease ran out, "hold" leaves the key to resolve().';
    end if;
    hold := coalesce(p_options ->> 'abandoned' = 'hold', false);

    if jsonb_typeof(p_options -> 'raise') not in ('boolean', 'null') then
        raise exception 'raise must be true or false, not %', p_options -> 'raise'
            using errcode = 'ID004', hint = 'With true, in_progress raises ID001 and mismatch raises ID002.';
    end if;
    raises := coalesce((p_options ->> 'raise')::boolean, false);
end;
$$;

comment on function idemdb._claim_options(jsonb) is
'Internal. The options of claim() and execute() with their defaults filled in; ID004 for what is unknown or contradictory.';

revoke all on function idemdb._claim_options(jsonb) from public;

-- file: functions/_mismatch.sql
create function idemdb._mismatch(p_scope text, p_key text, p_raises boolean) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_answer idemdb.claim_result;
begin
    if p_raises then
        raise exception 'key "%" in scope "%" was used for another request', p_key, p_scope
            using errcode = 'ID002', hint = 'Send the same request again, or make a new key for a new request.';
    end if;
    v_answer.outcome := 'mismatch';
    return v_answer;
end;
$$;

comment on function idemdb._mismatch(text, text, boolean) is
'Internal. The answer to another request under a known key, which tells nothing of the first; ID002 with option raise.';

revoke all on function idemdb._mismatch(text, text, boolean) from public;

-- file: functions/_in_progress.sql
create function idemdb._in_progress(p_scope text, p_key text, p_retry_after interval, p_raises boolean)
returns idemdb.claim_result
language plpgsql
as $$
declare
    v_answer idemdb.claim_result;
begin
    if p_raises then
        raise exception 'key "%" in scope "%" is still in progress', p_key, p_scope
            using errcode = 'ID001', detail = format('{"retry_after_ms": %s}', idemdb._milliseconds(p_retry_after)),
            hint = 'Ask again later with the same key.';
    end if;
    v_answer.outcome := 'in_progress';
    v_answer.retry_after_ms := idemdb._milliseconds(p_retry_after);
    return v_answer;
end;
$$;

comment on function idemdb._in_progress(text, text, interval, boolean) is
'Internal. The answer while somebody else holds the key; ID001 with option raise, retry_after_ms in its DETAIL.';

revoke all on function idemdb._in_progress(text, text, interval, boolean) from public;

-- file: functions/_recall.sql
create function idemdb._recall(p_row idemdb.keys, p_state text) returns idemdb.claim_result
language plpgsql stable
as $$
declare
    v_answer idemdb.claim_result;
begin
    v_answer.attempt := p_row.attempt;
    v_answer.reference := p_row.reference;
    v_answer.claimed_at := idemdb._claimed_at(p_row.claim_token);
    v_answer.completed_at := p_row.completed_at;
    case p_state
        when 'done' then
            v_answer.outcome := 'replayed';
            v_answer.status := p_row.status;
            v_answer.headers := p_row.headers;
            v_answer.body := p_row.body;
            v_answer.result := p_row.result;
        when 'expired' then
            v_answer.outcome := 'expired';
        when 'unresolved' then
            v_answer.outcome := 'unresolved';
            v_answer.recovery_point := p_row.recovery_point;
            v_answer.recovery_data := p_row.recovery_data;
    end case;
    return v_answer;
end;
$$;

comment on function idemdb._recall(idemdb.keys, text) is
'Internal. The answer that a finished (done, expired) or unresolved key gives to a repeat.';

revoke all on function idemdb._recall(idemdb.keys, text) from public;

-- file: functions/_executes_other.sql
create function idemdb._executes_other(p_scope text, p_key text, p_fingerprint bytea) returns boolean
language plpgsql stable
as $$
declare
    v_running text := current_setting('idemdb.executing', true);
    v_mark text := idemdb._execution(idemdb._key_lock(p_scope, p_key), p_fingerprint);
begin
    if strpos(v_running || ' ', v_mark || ' ') > 0 then
        perform idemdb._refuse_claim(p_scope, p_key);
    end if;
    return strpos(v_running, split_part(v_mark, ':', 1) || ':') > 0;
end;
$$;

comment on function idemdb._executes_other(text, text, bytea) is
'Internal. Whether this transaction is inside execute of the same key for another request; ID007 when it is for the same.';

revoke all on function idemdb._executes_other(text, text, bytea) from public;

-- file: functions/_await_holder.sql
-- Waiters take the courtesy lock in shared mode, so that they do not queue behind each other. The block is always left by an
-- exception: that gives the lock back at once, whether it was got or not, and restores lock_timeout.
create function idemdb._await_holder(p_lock bigint, p_wait interval) returns void
language plpgsql
as $$
declare
    v_began timestamptz := clock_timestamp();
begin
    perform set_config('lock_timeout', idemdb._milliseconds(p_wait)::text, true);
    perform pg_advisory_xact_lock_shared(p_lock);
    raise exception using errcode = 'ID000', message = 'the holder has ended';
exception
    when sqlstate 'ID000' or lock_not_available then
        -- No holder, so only other waiters, who come and go all at once after a rollback: step out of each other's way.
        if clock_timestamp() < v_began + interval '5 milliseconds' then
            perform pg_sleep_for(least(p_wait, random() * interval '50 milliseconds'));
        end if;
end;
$$;

comment on function idemdb._await_holder(bigint, interval) is
'Internal. Waits until the transaction that holds a key''s courtesy lock has ended, p_wait (above zero) at most.';

revoke all on function idemdb._await_holder(bigint, interval) from public;

-- file: functions/_take_over.sql
-- Takeover is one UPDATE guarded by the old token, behind the courtesy lock. A guard that fails only after a wait would keep
-- the winner's row locked to the end of our transaction, so this block is rolled back then, its locks included.
create function idemdb._take_over(p_row idemdb.keys, p_lease interval, p_wait interval) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_token bigint := idemdb._next_token(v_now, p_row.claim_token);
    v_moved interval := idemdb._claimed_at(v_token) - idemdb._claimed_at(p_row.claim_token);
    -- A key abandoned for longer than it was to be remembered would otherwise be forgotten as soon as it is done.
    v_forget_at timestamptz := case
        when p_row.forget_at > v_now then p_row.forget_at else v_now + (p_row.forget_at - idemdb._created_at(p_row))
    end;
    v_lock_timeout text := current_setting('lock_timeout');
    v_answer idemdb.claim_result;
begin
    if not pg_try_advisory_xact_lock(idemdb._key_lock(p_row.scope, p_row.key)) then
        raise lock_not_available;
    end if;
    perform set_config('lock_timeout', idemdb._milliseconds(p_wait)::text, true);
    update idemdb.keys as k
    set claim_token = v_token,
        claim_xid = pg_current_xact_id(),
        created_at = idemdb._created_at(k),
        attempt = k.attempt + 1,
        lease_until = v_now + p_lease,
        forget_at = v_forget_at,
        -- A leased claim keeps the whole window: completion computes its own end from it.
        replay_until = least(k.replay_until + v_moved, case when p_lease is null then v_forget_at end)
    where k.scope = p_row.scope and k.key = p_row.key and k.claim_token = p_row.claim_token
        and k.completed_at is null and k.lease_until = p_row.lease_until;
    if not found then
        raise lock_not_available;
    end if;
    perform set_config('lock_timeout', v_lock_timeout, true);

    v_answer.outcome := case when p_row.recovery_point is null then 'started' else 'resumed' end;
    v_answer.claim_token := v_token;
    v_answer.attempt := p_row.attempt + 1;
    v_answer.recovery_point := p_row.recovery_point;
    v_answer.recovery_data := p_row.recovery_data;
    v_answer.claimed_at := idemdb._claimed_at(v_token);
    return v_answer;
exception
    when lock_not_available then
        return null;
end;
$$;

comment on function idemdb._take_over(idemdb.keys, interval, interval) is
'Internal. Claims an abandoned or released key with a greater token; p_lease null binds it to this transaction. Outcome null when somebody else changed the row, or holds it for longer than p_wait.';

revoke all on function idemdb._take_over(idemdb.keys, interval, interval) from public;

-- file: functions/_admit.sql
-- The engine behind claim and execute: an indexed read (a replay ends here), then the courtesy lock and the write, each a
-- statement of its own, in a loop that ends with the wait. The primary key decides; the lock only makes others wait.
create function idemdb._admit(
    p_scope text, p_key text, p_fingerprint bytea, p_lease interval, p_wait interval, p_options jsonb, p_run boolean
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_replay_for interval;
    v_keep_for interval;
    v_hold boolean;
    v_raises boolean;
    v_row idemdb.keys;
    v_state text;
    v_now timestamptz;
    v_until timestamptz;
    v_pause interval;
    v_token bigint;
    v_answer idemdb.claim_result;
begin
    -- Each expression costs a replay more than one would think, so the usual arguments pass with one look.
    if p_fingerprint is null or p_lease is not null or p_wait is not null or p_options is not null then
        perform idemdb._refuse_arguments(p_scope, p_key, p_fingerprint, p_lease, p_wait);
        select * into v_replay_for, v_keep_for, v_hold, v_raises
        from idemdb._claim_options(p_options) where p_options is not null;
    end if;

    loop
        select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
        if found then
            if v_row.fingerprint <> p_fingerprint then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
            v_now := clock_timestamp();
            if v_row.completed_at is null or v_row.replay_until <= v_now then
                v_state := idemdb._key_state(v_row, v_now, pg_current_xact_id_if_assigned());
            else
                v_state := 'done';
            end if;
            if v_state = 'done' then
                return row(
                    'replayed', null::bigint, v_row.attempt, null::text, null::jsonb, v_row.status, v_row.headers, v_row.body,
                    v_row.result, v_row.reference, null::integer, idemdb._claimed_at(v_row.claim_token), v_row.completed_at,
                    null::jsonb
                )::idemdb.claim_result;
            elsif v_state in ('expired', 'unresolved') then
                return idemdb._recall(v_row, v_state);
            end if;
        elsif not idemdb._valid_key(p_scope, p_key) then
            perform idemdb._refuse_key(p_scope, p_key);
        else
            v_state := 'absent';
        end if;

        if v_state = 'running' then
            v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
            if v_now >= v_until then
                return idemdb._in_progress(p_scope, p_key, v_row.lease_until - v_now, v_raises);
            end if;
            v_pause := least(
                coalesce(v_pause * 2, interval '20 milliseconds'), interval '200 milliseconds', v_until - v_now
            );
            perform pg_sleep_for(v_pause);
            continue;
        elsif current_setting('transaction_read_only') = 'on' or v_state = 'open' then
            perform idemdb._refuse_claim(p_scope, p_key);
        elsif current_setting('idemdb.executing', true) <> '' then
            if idemdb._executes_other(p_scope, p_key, p_fingerprint) then
                return idemdb._mismatch(p_scope, p_key, v_raises);
            end if;
        end if;

        if v_state = 'absent' then
            v_now := clock_timestamp();
            if pg_try_advisory_xact_lock(idemdb._key_lock(p_scope, p_key)) then
                v_token := idemdb._next_token(v_now);
                if p_run then
                    perform from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
                else
                    insert into idemdb.keys (
                        claim_token, claim_xid, forget_at, replay_until, lease_until, hold, scope, key, fingerprint
                    ) values (
                        v_token, pg_current_xact_id(), v_now + coalesce(v_keep_for, interval '30 days'),
                        v_now + coalesce(v_replay_for, interval '24 hours'), v_now + p_lease, coalesce(v_hold, false),
                        p_scope, p_key, p_fingerprint
                    ) on conflict (scope, key) do nothing;
                end if;
                if found <> p_run then
                    return row(
                        'started', v_token, 1, null::text, null::jsonb, null::integer, null::jsonb, null::bytea, null::jsonb,
                        null::text, null::integer, v_now, null::timestamptz, null::jsonb
                    )::idemdb.claim_result;
                end if;
            end if;
        elsif p_run and v_row.recovery_point is not null then
            raise exception 'key "%" in scope "%" has a recovery point, which execute cannot go on from', p_key, p_scope
                using errcode = 'ID004', hint = 'Claim it with a lease and go on from its recovery_point.';
        else
            v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
            v_answer := idemdb._take_over(v_row, p_lease, v_until - v_now);
            if v_answer.outcome is not null then
                return v_answer;
            end if;
        end if;
        v_until := coalesce(v_until, v_now + coalesce(p_wait, interval '2 seconds'));
        if v_now > v_until then
            -- Read again and tried again after the wait was over.
            return idemdb._in_progress(p_scope, p_key, interval '1 second', v_raises);
        elsif v_now < v_until then
            perform idemdb._await_holder(idemdb._key_lock(p_scope, p_key), v_until - v_now);
        end if;
    end loop;
end;
$$;

comment on function idemdb._admit(text, text, bytea, interval, interval, jsonb, boolean) is
'Internal. Decides what a claim (or, with p_run, an execute) of a key is told, and makes the claim where there is one to make.';

revoke all on function idemdb._admit(text, text, bytea, interval, interval, jsonb, boolean) from public;

-- file: functions/fingerprint.sql
create function idemdb.fingerprint(p_request jsonb, p_exclude text[] default '{}') returns bytea
language plpgsql immutable parallel safe
as $$
declare
    v_request jsonb := p_request;
    v_path text;
begin
    if p_request is null then
        raise exception 'the request is null'
            using errcode = 'ID004', hint = 'Pass it as jsonb; for a request without parameters the fingerprint is ''\x''.';
    end if;
    if p_exclude operator(pg_catalog.<>) '{}' then
        foreach v_path in array p_exclude loop
            begin
                v_request := v_request operator(pg_catalog.#-) v_path::text[];
            exception
                when data_exception or array_subscript_error or null_value_not_allowed then
                    raise exception '"%" is no path to exclude', v_path
                        using errcode = 'ID004', hint = 'Write each path as for #-: ''{user,sent_at}''.';
            end;
        end loop;
    end if;
    -- The text of jsonb is canonical: sorted keys, no duplicates, no blanks, numbers with the digits they came with.
    return pg_catalog.sha256(pg_catalog.convert_to(v_request::text, 'UTF8'));
end;
$$;

comment on function idemdb.fingerprint(jsonb, text[]) is
'Digest of a request: 32 bytes, the same for every spelling of the same JSON document.

Order and duplicates of keys and blanks do not count; 1 and 1.0 differ. p_exclude: paths of members to leave out, such as ''{user,sent_at}''.
Errors: ID004 null request or malformed path.';

revoke all on function idemdb.fingerprint(jsonb, text[]) from public;

-- file: functions/claim.sql
create function idemdb.claim(
    p_scope text,
    p_key text,
    p_fingerprint bytea,
    p_lease interval default null,
    p_wait interval default null,
    p_options jsonb default null
) returns idemdb.claim_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return idemdb._admit(p_scope, p_key, p_fingerprint, p_lease, p_wait, p_options, p_run => false);
end;
$$;

comment on function idemdb.claim(text, text, bytea, interval, interval, jsonb) is
'Claim an idempotency key, or learn what became of it.

p_scope, p_key: 1 to 255 octets each; scope names the tenant or user and the operation. p_fingerprint: digest of the request, from fingerprint(). p_lease null: the claim is bound to this transaction, lives and dies with it, and commits as done. p_lease given: the claim outlives the transaction and is held until complete(), release() or the end of the lease. p_wait: how long to wait for another holder, default 2 seconds, zero answers at once. p_options: replay_for (24 hours), keep_for (30 days), abandoned (retry | hold), raise (false).

Outcomes: started, resumed (yours: do the work, then complete with claim_token); replayed (the stored answer; nothing was written); in_progress (ask again after retry_after_ms); mismatch (another request used the key); expired (answer dropped, do not run again; reference is left); unresolved (held after a crash: see resolve).
Errors: ID001, ID002 (in_progress, mismatch with option raise), ID004 invalid argument, ID007 already claimed by this transaction, 25006 read-only transaction or standby, 40001 another claim committed after the snapshot of REPEATABLE READ or SERIALIZABLE.';

revoke all on function idemdb.claim(text, text, bytea, interval, interval, jsonb) from public;

-- file: functions/complete.sql
create function idemdb.complete(
    p_scope text,
    p_key text,
    p_claim_token bigint,
    p_status integer default null,
    p_headers jsonb default null,
    p_body bytea default null,
    p_result jsonb default null,
    p_reference text default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_completed_at timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif pg_try_advisory_xact_lock(idemdb._key_lock(p_scope, p_key)) then
        null; -- who wants to take over meanwhile waits on this lock and not on the row, which would cost it a transaction id
    end if;

    update idemdb.keys as k
    set completed_at = v_now,
        replay_until = least(v_now + (k.replay_until - idemdb._claimed_at(k.claim_token)), k.forget_at),
        status = p_status,
        headers = p_headers,
        body = p_body,
        result = p_result,
        reference = p_reference,
        recovery_point = null,
        recovery_data = null
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and (k.claim_xid = pg_current_xact_id_if_assigned() or k.lease_until is not null)
        and k.lease_until is distinct from '-infinity'
    returning k.completed_at into v_completed_at;
    if found then
        return v_completed_at;
    end if;

    -- Repeated with an equal answer, by a holder that did not hear of its success?
    select k.completed_at into v_completed_at from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is not null
        and k.replay_until > v_now
        and (k.claim_xid = pg_current_xact_id_if_assigned() or k.lease_until is not null)
        and (k.status, k.headers, k.body, k.result, k.reference)
        is not distinct from (p_status, p_headers, p_body, p_result, p_reference);
    if not found then
        perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
    end if;
    return v_completed_at;
end;
$$;

comment on function idemdb.complete(text, text, bigint, integer, jsonb, bytea, jsonb, text) is
'Store the answer of a claimed key, to be replayed to every repeat.

Takes the claim_token from claim(). Status, headers, body (bytes, kept as they are), result and reference are all optional. Returns when the answer was stored; repeated with the same token and an equal answer, the first time again.
Errors: ID003 when the claim was lost (taken over, released, forgotten, completed with another answer, or bound to a transaction that has ended): let the transaction roll back. ID004 invalid argument.';

revoke all on function idemdb.complete(text, text, bigint, integer, jsonb, bytea, jsonb, text) from public;

-- file: functions/checkpoint.sql
create function idemdb.checkpoint(
    p_scope text,
    p_key text,
    p_claim_token bigint,
    p_recovery_point text,
    p_data jsonb default null,
    p_lease interval default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_lease_until timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif coalesce(p_recovery_point, '') = '' then
        raise exception 'the recovery point is empty'
            using errcode = 'ID004', hint = 'Name the step that was just finished.';
    elsif not idemdb._valid_period(p_lease) then
        perform idemdb._refuse_arguments(p_scope, p_key, '\x', p_lease, null);
    end if;

    update idemdb.keys as k
    set recovery_point = p_recovery_point,
        recovery_data = p_data,
        lease_until = coalesce(v_now + p_lease, k.lease_until)
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until > '-infinity'
    returning k.lease_until into v_lease_until;
    if not found then
        perform idemdb._refuse_lease(p_scope, p_key, p_claim_token);
    end if;
    return v_lease_until;
end;
$$;

comment on function idemdb.checkpoint(text, text, bigint, text, jsonb, interval) is
'Remember how far a leased holder got, so that a takeover is told resumed and goes on there.

p_recovery_point names the step that was finished, p_data (replaces what was there) is what the next ones need, p_lease, where given, renews the lease as well. Returns until when the lease runs.
Errors: ID003 when the claim was lost: let the transaction roll back. ID004 invalid argument, or a claim bound to this transaction.';

revoke all on function idemdb.checkpoint(text, text, bigint, text, jsonb, interval) from public;

-- file: functions/renew.sql
create function idemdb.renew(p_scope text, p_key text, p_claim_token bigint, p_lease interval) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_lease_until timestamptz;
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    elsif p_lease is null or not idemdb._valid_period(p_lease) then
        raise exception 'the lease must be above zero (and below 1000 years), not %', coalesce(p_lease::text, 'null')
            using errcode = 'ID004', hint = 'Say for how long from now the holder needs the key.';
    end if;

    update idemdb.keys as k
    set lease_until = v_now + p_lease
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until > '-infinity'
    returning k.lease_until into v_lease_until;
    if not found then
        perform idemdb._refuse_lease(p_scope, p_key, p_claim_token);
    end if;
    return v_lease_until;
end;
$$;

comment on function idemdb.renew(text, text, bigint, interval) is
'Extend the lease of a running claim to p_lease from now, by the database''s clock.

Allowed even after the lease ran out, as long as nobody took over. Returns until when the lease runs.
Errors: ID003 when the claim was lost: stop working. ID004 invalid argument, or a claim bound to this transaction.';

revoke all on function idemdb.renew(text, text, bigint, interval) from public;

-- file: functions/release.sql
create function idemdb.release(p_scope text, p_key text, p_claim_token bigint, p_error text default null)
returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
begin
    if not idemdb._valid_key(p_scope, p_key) or p_claim_token is null then
        perform idemdb._refuse_holder(p_scope, p_key);
    end if;

    -- A first claim that is bound to this transaction leaves no trace.
    delete from idemdb.keys as k
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and k.lease_until is null and k.claim_xid = pg_current_xact_id_if_assigned() and k.attempt = 1;
    if found then
        return v_now;
    end if;

    update idemdb.keys as k
    set lease_until = '-infinity', last_error = p_error
    where k.scope = p_scope and k.key = p_key and k.claim_token = p_claim_token and k.completed_at is null
        and (k.lease_until > '-infinity'
            or (k.lease_until is null and k.claim_xid = pg_current_xact_id_if_assigned()));
    if not found then
        perform idemdb._refuse_token(p_scope, p_key, p_claim_token);
    end if;
    return v_now;
end;
$$;

comment on function idemdb.release(text, text, bigint, text) is
'Give a claim back unfinished: the next claim of the key, with the same fingerprint, runs.

A leased claim becomes released and keeps its recovery point; p_error is shown by lookup(). A claim bound to this transaction is taken back as if it had never been made (one that took over a leased claim becomes released). Returns when.
Errors: ID003 when the claim was lost. ID004 invalid argument.';

revoke all on function idemdb.release(text, text, bigint, text) from public;

-- file: functions/lookup.sql
create function idemdb.lookup(p_scope text, p_key text) returns idemdb.key_record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_row idemdb.keys;
    v_record idemdb.key_record;
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    v_record.scope := p_scope;
    v_record.key := p_key;
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    if not found then
        v_record.state := 'unknown';
        return v_record;
    end if;
    v_record.state := idemdb._key_state(v_row, clock_timestamp(), pg_current_xact_id_if_assigned());
    if v_record.state = 'open' then
        v_record.state := 'running';
    elsif v_record.state <> 'expired' then
        v_record.status := v_row.status;
        v_record.headers := v_row.headers;
        v_record.body := v_row.body;
        v_record.result := v_row.result;
    end if;
    v_record.fingerprint := v_row.fingerprint;
    v_record.claim_token := v_row.claim_token;
    v_record.attempt := v_row.attempt;
    v_record.recovery_point := v_row.recovery_point;
    v_record.recovery_data := v_row.recovery_data;
    v_record.reference := v_row.reference;
    v_record.last_error := v_row.last_error;
    v_record.created_at := idemdb._created_at(v_row);
    v_record.claimed_at := idemdb._claimed_at(v_row.claim_token);
    -- Many drivers cannot read -infinity.
    v_record.lease_until := nullif(v_row.lease_until, '-infinity');
    v_record.completed_at := v_row.completed_at;
    v_record.replay_until := least(v_row.replay_until, v_row.forget_at);
    v_record.forget_at := v_row.forget_at;
    return v_record;
end;
$$;

comment on function idemdb.lookup(text, text) is
'Show what is known of an idempotency key, without claiming it or waiting for it.

state: unknown | running | abandoned | unresolved | released | done | expired. A claim of another session that has not committed is not seen.
Errors: ID004 invalid argument.';

revoke all on function idemdb.lookup(text, text) from public;

-- file: functions/_execute_exclude.sql
create function idemdb._execute_exclude(p_options jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exclude jsonb := p_options -> 'exclude';
begin
    perform idemdb._check_members('p_options', p_options, '{exclude,replay_for,keep_for,raise}');
    if jsonb_typeof(v_exclude) <> 'array' then
        raise exception 'exclude must be an array of paths, not %', v_exclude
            using errcode = 'ID004', hint = 'Write it as {"exclude": ["{user,sent_at}"]}.';
    end if;
    return array(select e.path from jsonb_array_elements_text(v_exclude) as e (path));
end;
$$;

comment on function idemdb._execute_exclude(jsonb) is
'Internal. The paths that the options of execute() leave out of the fingerprint; ID004 for unknown options.';

revoke all on function idemdb._execute_exclude(jsonb) from public;

-- file: functions/_execute_begin.sql
create function idemdb._execute_begin(
    p_scope text, p_key text, p_fingerprint bytea, p_wait interval, p_options jsonb
) returns idemdb.claim_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer idemdb.claim_result := idemdb._admit(
        p_scope, p_key, p_fingerprint, null, p_wait, p_options - 'exclude', p_run => true
    );
begin
    if v_answer.outcome = 'started' then
        perform set_config(
            'idemdb.executing',
            concat(
                current_setting('idemdb.executing', true),
                idemdb._execution(idemdb._key_lock(p_scope, p_key), p_fingerprint)
            ),
            true
        );
    end if;
    return v_answer;
end;
$$;

comment on function idemdb._execute_begin(text, text, bytea, interval, jsonb) is
'Internal. First half of execute(): started means that the function is to run now.';

revoke all on function idemdb._execute_begin(text, text, bytea, interval, jsonb) from public;

-- file: functions/_execute_call.sql
create function idemdb._execute_call(p_function text) returns text
language plpgsql stable
as $$
declare
    v_function pg_catalog.regprocedure;
begin
    v_function := pg_catalog.to_regprocedure(pg_catalog.concat(p_function, '(jsonb)'));
    if pg_catalog.pg_get_function_result(v_function) operator(pg_catalog.=) 'jsonb' then
        return pg_catalog.format('select %s($1)', v_function::pg_catalog.regproc);
    end if;
    raise exception 'there is no function %(jsonb) returns jsonb', coalesce(p_function, 'null')
        using errcode = 'ID004', hint = 'Name a function with one jsonb parameter, with its schema: ''app.pay''.';
exception
    when syntax_error or invalid_name then
        raise exception '"%" is no function name', p_function
            using errcode = 'ID004', hint = 'Write it as in SQL, without parameters: ''app.pay''.';
end;
$$;

comment on function idemdb._execute_call(text) is
'Internal. The statement that calls a user''s function; ID004 unless it is a (jsonb) returns jsonb function.';

revoke all on function idemdb._execute_call(text) from public;

-- file: functions/_execute_end.sql
create function idemdb._execute_end(
    p_scope text, p_key text, p_fingerprint bytea, p_options jsonb, p_answer idemdb.claim_result
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_replay_for interval;
    v_keep_for interval;
begin
    -- The last mark is ours, 82 characters: executions nest.
    perform set_config('idemdb.executing', left(current_setting('idemdb.executing', true), -82), true);
    if p_answer.attempt > 1 then
        return idemdb.complete(
            p_scope, p_key, p_answer.claim_token, p_answer.status, p_answer.headers, p_answer.body, p_answer.result,
            p_answer.reference
        );
    end if;

    if p_options is not null then
        select o.replay_for, o.keep_for into v_replay_for, v_keep_for
        from idemdb._claim_options(p_options - 'exclude') as o;
    end if;
    -- A plain INSERT in a block costs less than ON CONFLICT, which writes its row in two steps. Behind the courtesy lock a
    -- conflict is as good as impossible.
    insert into idemdb.keys (
        claim_token, forget_at, replay_until, completed_at, result, reference, headers, body, status,
        scope, key, fingerprint
    ) values (
        p_answer.claim_token, p_answer.claimed_at + coalesce(v_keep_for, interval '30 days'),
        least(v_now + coalesce(v_replay_for, interval '24 hours'), p_answer.claimed_at + v_keep_for), v_now,
        p_answer.result, p_answer.reference, p_answer.headers, p_answer.body, p_answer.status,
        p_scope, p_key, p_fingerprint
    );
    return v_now;
exception
    when unique_violation then
        perform from idemdb.keys as k
        where k.scope = p_scope and k.key = p_key and k.claim_xid = pg_current_xact_id_if_assigned();
        if found then
            perform idemdb._refuse_claim(p_scope, p_key);
        end if;
        raise exception 'key "%" in scope "%" was claimed while its function ran', p_key, p_scope
            using errcode = 'serialization_failure',
            hint = 'Repeat the transaction: the key then tells what became of it.';
end;
$$;

comment on function idemdb._execute_end(text, text, bytea, jsonb, idemdb.claim_result) is
'Internal. Second half of execute(): stores key and answer in one row.';

revoke all on function idemdb._execute_end(text, text, bytea, jsonb, idemdb.claim_result) from public;

-- file: functions/execute.sql
-- Runs with the caller's rights and search_path, as does the function that it calls; only _execute_begin and _execute_end
-- touch idemdb's tables.
create function idemdb.execute(
    p_scope text,
    p_key text,
    p_function text,
    p_args jsonb,
    p_wait interval default null,
    p_options jsonb default null
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_fingerprint bytea := case
        when p_options is null then idemdb.fingerprint(p_args)
        else idemdb.fingerprint(p_args, idemdb._execute_exclude(p_options))
    end;
    v_answer idemdb.claim_result := idemdb._execute_begin(p_scope, p_key, v_fingerprint, p_wait, p_options);
    v_detail text;
begin
    if v_answer.outcome operator(pg_catalog.<>) 'started' then
        return v_answer;
    end if;
    begin
        execute idemdb._execute_call(p_function) into v_answer.result using p_args;
    exception
        when sqlstate 'ID010' then
            -- The function's final answer although it failed: its writes are rolled back, the answer is kept.
            get stacked diagnostics v_detail = pg_exception_detail;
            v_answer := idemdb._read_answer(v_answer, v_detail);
    end;
    v_answer.completed_at := idemdb._execute_end(p_scope, p_key, v_fingerprint, p_options, v_answer);
    return v_answer;
end;
$$;

comment on function idemdb.execute(text, text, text, jsonb, interval, jsonb) is
'Run a function of yours at most once per idempotency key and replay its result, all in one call and in your transaction.

p_function: name of a function (jsonb) returns jsonb, such as ''app.pay''; it runs with the caller''s rights and is looked up only when it is to run. p_args: its argument, and what the fingerprint is of. p_options: exclude (paths left out of the fingerprint), replay_for, keep_for, raise, as in claim(). A declined card or a sold-out seat: the function raises SQLSTATE ID010 with the answer as DETAIL (JSON: status, headers, body_base64, result, reference); its writes roll back, the answer is stored. Any other error undoes everything.

Outcomes: started (it ran now), replayed, in_progress, mismatch, expired, unresolved, as in claim().
Errors: ID004 invalid argument, unknown function, or a key with a recovery point; ID007 called for its own key by the function; 25006; 40001 the key was claimed meanwhile by somebody who did not queue: repeat the transaction.';

revoke all on function idemdb.execute(text, text, text, jsonb, interval, jsonb) from public;

-- file: functions/_actor.sql
create function idemdb._actor() returns text
language sql stable
return session_user || coalesce('/' || nullif(current_setting('role'), 'none'), '');

comment on function idemdb._actor() is 'Internal. Who is acting: the login role, and the role it has set.';

revoke all on function idemdb._actor() from public;

-- file: functions/_check_resolve.sql
create function idemdb._check_resolve(p_state text, p_action text, p_note text, p_answer jsonb) returns void
language plpgsql immutable
as $$
begin
    if p_action is null or p_action not in ('completed', 'retry', 'forget') then
        raise exception 'the action must be completed, retry or forget, not %', coalesce(quote_literal(p_action), 'null')
            using errcode = 'ID004', hint = 'completed stores an answer, retry lets the next claim run, forget erases the key.';
    elsif coalesce(p_note, '') = '' then
        raise exception 'the note is empty'
            using errcode = 'ID004', hint = 'Say why: the note is kept in the audit table.';
    elsif p_answer is not null and p_action <> 'completed' then
        raise exception 'an answer goes with action completed only'
            using errcode = 'ID004', hint = format('Leave p_answer out for action %s.', p_action);
    elsif p_state not in ('abandoned', 'unresolved', 'released')
        and not (p_state in ('done', 'expired') and p_action = 'forget')
    then
        raise exception 'action % is not possible for a key that is %', p_action,
            case p_state when 'open' then 'running' else p_state end
            using errcode = 'ID004',
            hint = case
                when p_state in ('done', 'expired') then 'A finished key can only be forgotten.'
                when p_state = 'unknown' then 'No committed claim of this key is known; see lookup().'
                else 'Wait for its holder: once the lease is over the key can be resolved.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_resolve(text, text, text, jsonb) is
'Internal. Raises ID004 where resolve() is called for a state or with arguments that it refuses.';

revoke all on function idemdb._check_resolve(text, text, text, jsonb) from public;

-- file: functions/resolve.sql
create function idemdb.resolve(p_scope text, p_key text, p_action text, p_note text, p_answer jsonb default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_row idemdb.keys;
    v_state text;
    v_token bigint;
    v_answer idemdb.claim_result;
begin
    if not idemdb._valid_key(p_scope, p_key) then
        perform idemdb._refuse_key(p_scope, p_key);
    end if;
    select * into v_row from idemdb.keys as k where k.scope = p_scope and k.key = p_key for update;
    v_state := case
        when not found then 'unknown'
        when v_row.claim_xid = pg_current_xact_id_if_assigned() then 'open'
        else idemdb._key_state(v_row, clock_timestamp(), null)
    end;
    perform idemdb._check_resolve(v_state, p_action, p_note, p_answer);
    v_answer := idemdb._read_answer(v_answer, p_answer::text);
    v_token := idemdb._next_token(v_now, v_row.claim_token);

    if p_action = 'completed' then
        update idemdb.keys as k
        set claim_token = v_token,
            created_at = idemdb._created_at(k),
            completed_at = v_now,
            replay_until = least(v_now + (k.replay_until - idemdb._claimed_at(k.claim_token)), k.forget_at),
            status = v_answer.status,
            headers = v_answer.headers,
            body = v_answer.body,
            result = v_answer.result,
            reference = v_answer.reference,
            recovery_point = null,
            recovery_data = null
        where k.scope = p_scope and k.key = p_key;
    elsif p_action = 'retry' then
        update idemdb.keys as k
        set claim_token = v_token,
            created_at = idemdb._created_at(k),
            lease_until = '-infinity',
            replay_until = k.replay_until + (idemdb._claimed_at(v_token) - idemdb._claimed_at(k.claim_token))
        where k.scope = p_scope and k.key = p_key;
    else
        delete from idemdb.keys as k where k.scope = p_scope and k.key = p_key;
    end if;

    insert into idemdb.audit (happened_at, actor, action, scope, key, note, details)
    values (
        v_now, idemdb._actor(), 'resolve:' || p_action, p_scope, p_key, p_note,
        jsonb_build_object(
            'state', v_state, 'claim_token', v_row.claim_token, 'attempt', v_row.attempt,
            'recovery_point', v_row.recovery_point, 'answer', p_answer
        )
    );
    return case p_action when 'completed' then 'done' when 'retry' then 'released' else 'forgotten' end;
end;
$$;

comment on function idemdb.resolve(text, text, text, text, jsonb) is
'Decide by hand what becomes of a key whose holder is gone (for idemdb_admin).

p_action: completed (the work was done; p_answer, a JSON object with status, headers, body_base64, result, reference, is replayed from now on), retry (the next claim runs, from the recovery point if there is one), forget (as if the key had never been used; the only action for a finished key). p_note says why and is kept in the audit table. The old claim token becomes void.
Returns the new state: done | released | forgotten.
Errors: ID004 for a key that is absent, running or (but for forget) finished, an unknown action, an empty note, a malformed answer.';

revoke all on function idemdb.resolve(text, text, text, text, jsonb) from public;

-- file: functions/forget.sql
create function idemdb.forget(p_scope text, p_key text default null) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_erased bigint;
begin
    if not idemdb._valid_key(p_scope, coalesce(p_key, 'any')) then
        perform idemdb._refuse_key(p_scope, coalesce(p_key, 'any'));
    end if;
    delete from idemdb.keys as k
    where k.scope = p_scope and (p_key is null or k.key = p_key)
        and idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned()) in ('done', 'expired');
    get diagnostics v_erased = row_count;

    insert into idemdb.audit (happened_at, actor, action, scope, key, details)
    values (
        clock_timestamp(), idemdb._actor(), 'forget', p_scope, p_key, jsonb_build_object('erased', v_erased)
    );
    return v_erased;
end;
$$;

comment on function idemdb.forget(text, text) is
'Erase finished keys of a scope and their answers, for example because a person asked to be forgotten (for idemdb_admin).

p_key null: every finished key of the scope. Running, abandoned, unresolved and released keys stay. Leaves an audit row. A request repeated later runs again. Returns how many keys were erased.
Errors: ID004 invalid argument.';

revoke all on function idemdb.forget(text, text) from public;

-- file: functions/_default_settings.sql
create function idemdb._default_settings(p_kind text) returns jsonb
language sql immutable parallel safe
return case p_kind
    when 'consumer' then '{"keep_for": "30 days", "max_attempts": 5}'::jsonb
    when 'topic' then '{"keep_for": "30 days", "max_attempts": 5, "notify": false}'::jsonb
end;

comment on function idemdb._default_settings(text) is
'Internal. The settings of a consumer or topic that was never configured; null for an unknown kind.';

revoke all on function idemdb._default_settings(text) from public;

-- file: functions/_check_settings.sql
create function idemdb._check_settings(p_kind text, p_settings jsonb) returns void
language plpgsql immutable
as $$
declare
    v_defaults jsonb := idemdb._default_settings(p_kind);
begin
    if v_defaults is null then
        raise exception 'the kind must be consumer or topic, not "%"', p_kind
            using errcode = 'ID004', hint = 'Call configure(''consumer'' or ''topic'', its name, settings).';
    elsif p_settings is null then
        raise exception 'the settings are null'
            using errcode = 'ID004', hint = format('Pass some of %s.', v_defaults);
    end if;
    perform idemdb._check_members('p_settings', p_settings, array(select jsonb_object_keys(v_defaults)));
    perform idemdb._read_interval(p_settings, 'keep_for');
    if jsonb_typeof(p_settings -> 'max_attempts') <> 'null'
        and (p_settings ->> 'max_attempts' !~ '^[1-9][0-9]{0,8}$' or jsonb_typeof(p_settings -> 'max_attempts') <> 'number')
    then
        raise exception 'max_attempts must be a whole number from 1, not %', p_settings -> 'max_attempts'
            using errcode = 'ID004', hint = 'It is how often a message is tried before it becomes a dead letter.';
    elsif jsonb_typeof(p_settings -> 'notify') not in ('boolean', 'null') then
        raise exception 'notify must be true or false, not %', p_settings -> 'notify'
            using errcode = 'ID004', hint = 'With true, adding a message wakes the relay by NOTIFY.';
    end if;
end;
$$;

comment on function idemdb._check_settings(text, jsonb) is
'Internal. Raises ID004 for an unknown kind or setting, or a value that makes no sense.';

revoke all on function idemdb._check_settings(text, jsonb) from public;

-- file: functions/configure.sql
create function idemdb.configure(p_kind text, p_name text, p_settings jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings jsonb;
begin
    if not idemdb._valid_key(p_kind, p_name) then
        raise exception 'a % must have a name of 1 to 255 octets', coalesce(p_kind, 'consumer or topic')
            using errcode = 'ID004', hint = 'Call configure(''consumer'' or ''topic'', its name, settings).';
    end if;
    perform idemdb._check_settings(p_kind, p_settings);
    insert into idemdb.settings as s (kind, name, settings, updated_at)
    values (p_kind, p_name, jsonb_strip_nulls(p_settings), clock_timestamp())
    on conflict (kind, name) do update
    set settings = jsonb_strip_nulls(s.settings || p_settings), updated_at = excluded.updated_at
    returning s.settings into v_settings;
    return idemdb._default_settings(p_kind) || v_settings;
end;
$$;

comment on function idemdb.configure(text, text, jsonb) is
'Set how a consumer or a topic is treated, and return all its settings (for idemdb_admin).

p_kind ''consumer'': keep_for (30 days: how long an event is remembered), max_attempts (5). ''topic'': max_attempts (5), keep_for (30 days: how long a dedup key is remembered), notify (false). Settings not given stay as they are, null brings the default back.
Errors: ID004 for an unknown kind or setting, or a value that makes no sense.';

revoke all on function idemdb.configure(text, text, jsonb) from public;

-- file: functions/_sweep_keys.sql
create function idemdb._sweep_keys(p_from tid, p_to tid, p_limit bigint) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_keys bigint;
    v_answers bigint;
begin
    delete from idemdb.keys as k
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        cross join lateral (select idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned())) as s (state)
        where d.ctid >= p_from and d.ctid < p_to and d.forget_at <= v_now
            and (s.state = 'expired' or (s.state = 'released' and d.recovery_point is null))
        limit p_limit
        for update of d skip locked
    ));
    get diagnostics v_keys = row_count;

    update idemdb.keys as k
    set status = null, headers = null, body = null, result = null
    where k.ctid = any (array(
        select d.ctid from idemdb.keys as d
        where d.ctid >= p_from and d.ctid < p_to and d.replay_until <= v_now
            and idemdb._key_state(d, v_now, pg_current_xact_id_if_assigned()) = 'expired'
            and (d.headers is not null or d.body is not null or d.result is not null)
        limit p_limit
        for update skip locked
    ));
    get diagnostics v_answers = row_count;
    return query values ('keys', v_keys, null::boolean), ('answers', v_answers, null::boolean);
end;
$$;

comment on function idemdb._sweep_keys(tid, tid, bigint) is
'Internal. Drops at most p_limit keys past keep_for, and p_limit answers past replay_for, between two places of the key table.';

revoke all on function idemdb._sweep_keys(tid, tid, bigint) from public;

-- file: functions/_sweep_table.sql
-- What is expired, and what becomes of it, is said by a function of the table's own, _sweep_<table>.
create function idemdb._sweep_table(p_table text, p_limit integer) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_blocks constant bigint := pg_relation_size(format('idemdb.%I', p_table)) / current_setting('block_size')::bigint;
    v_cursor bigint;
    v_from bigint;
    v_to bigint;
    v_step idemdb.sweep_result;
    v_most bigint := 0;
    v_removed jsonb := '{}';
begin
    select c.next_block into v_cursor from idemdb.sweep_cursor as c where c.what = p_table for update skip locked;
    v_from := coalesce(v_cursor, 0);
    -- While somebody else sweeps this table the range is empty: one step, which names each kind and removes nothing.
    v_to := case when v_cursor is null then v_from else least(v_from + p_limit, v_blocks) end;
    loop
        for v_step in
            execute format('select * from idemdb.%I($1, $2, $3)', '_sweep_' || p_table)
            using format('(%s,0)', v_from)::tid, format('(%s,0)', least(v_from + 128, v_to))::tid, p_limit - v_most
        loop
            v_step.removed := v_step.removed + coalesce((v_removed ->> v_step.what)::bigint, 0);
            v_removed := v_removed || jsonb_build_object(v_step.what, v_step.removed);
            v_most := greatest(v_most, v_step.removed);
        end loop;
        -- A step that used up the limit may have left something behind: the next call begins with it.
        exit when v_most >= p_limit;
        v_from := least(v_from + 128, v_to);
        exit when v_from >= v_to;
    end loop;

    update idemdb.sweep_cursor as c
    set next_block = case when v_from >= v_blocks then 0 else v_from end,
        pass_completed_at = case when v_from >= v_blocks then clock_timestamp() else c.pass_completed_at end
    where c.what = p_table and v_cursor is not null;
    return query
        select r.key, r.value::bigint, v_cursor is not null and v_from >= v_blocks from jsonb_each_text(v_removed) as r;
end;
$$;

comment on function idemdb._sweep_table(text, integer) is
'Internal. One call''s part of a walk over one table: goes on at the stored cursor, in steps of 128 blocks (1 MiB, a few milliseconds each); a pass that reaches the end begins anew.';

revoke all on function idemdb._sweep_table(text, integer) from public;

-- file: functions/sweep.sql
create function idemdb.sweep(p_limit integer default 10000) returns setof idemdb.sweep_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_table text;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit must be at least 1, not %', coalesce(p_limit::text, 'null')
            using errcode = 'ID004', hint = 'It bounds what one call removes, and so how long it takes.';
    end if;
    for v_table in select c.what from idemdb.sweep_cursor as c order by c.what loop
        return query select * from idemdb._sweep_table(v_table, p_limit);
    end loop;
end;
$$;

comment on function idemdb.sweep(integer) is
'Drop answers past replay_for and keys past keep_for, a small step at a time (for idemdb_admin).

Walks each table by ranges of blocks with a stored cursor, needs no index, waits for no lock and never touches a running, abandoned or unresolved key. One call removes at most p_limit of each kind and reads at most p_limit blocks of each table; call it again until pass_complete. Only one sweep works on a table at a time: another one answers at once that it removed nothing.
Returns a row for each kind: answers, keys.
Errors: ID004 p_limit below 1.';

revoke all on function idemdb.sweep(integer) from public;

-- file: functions/version.sql
create function idemdb.version() returns integer
language sql immutable parallel safe
return 1;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;

-- file: views/key_overview.sql
create view idemdb.key_overview as
select
    k.scope,
    case s.state when 'open' then 'running' else s.state end as state,
    count(*) as keys,
    min(idemdb._created_at(k)) as oldest_created_at,
    max(idemdb._created_at(k)) as newest_created_at,
    clock_timestamp() - min(idemdb._created_at(k)) as oldest_age,
    max(k.attempt) as max_attempt
from idemdb.keys as k
cross join lateral (
    select idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned())
) as s (state)
group by k.scope, case s.state when 'open' then 'running' else s.state end;

comment on view idemdb.key_overview is
'How many keys each scope has in each state, and how old they are. Reads the whole key table.';

revoke all on table idemdb.key_overview from public;

-- file: views/unresolved.sql
create view idemdb.unresolved as
select
    k.scope,
    k.key,
    k.attempt,
    k.recovery_point,
    k.last_error,
    k.reference,
    idemdb._created_at(k) as created_at,
    idemdb._claimed_at(k.claim_token) as claimed_at,
    k.lease_until
from idemdb.keys as k
where idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned()) = 'unresolved';

comment on view idemdb.unresolved is
'Keys whose lease ran out under policy hold: a person decides by resolve(). Reads the whole key table.';

revoke all on table idemdb.unresolved from public;
