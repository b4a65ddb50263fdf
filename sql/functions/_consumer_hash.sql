create function idemdb._consumer_hash(p_consumer text) returns integer
language sql immutable parallel safe
return pg_catalog.hashtext(p_consumer collate "C");

comment on function idemdb._consumer_hash(text) is
'Internal. Where a consumer''s rows lie in the inbox. Two consumers may share it: the event key tells them apart.';

revoke all on function idemdb._consumer_hash(text) from public;
