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
