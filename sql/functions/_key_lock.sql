create function idemdb._key_lock(p_scope text, p_key text) returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended(p_key collate "C", pg_catalog.hashtextextended(p_scope collate "C", 0));

comment on function idemdb._key_lock(text, text) is
'Internal. The advisory lock on which others wait while a key is being claimed. A collision makes them wait longer, no more.';

revoke all on function idemdb._key_lock(text, text) from public;
