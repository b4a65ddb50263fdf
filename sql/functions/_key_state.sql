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
