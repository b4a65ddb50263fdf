-- Checked by every function that takes a key; one SQL expression, so that the planner can inline it.
create function idemdb._valid_key(p_scope text, p_key text) returns boolean
language sql immutable parallel safe
return coalesce(octet_length(p_scope) between 1 and 255 and octet_length(p_key) between 1 and 255, false);

comment on function idemdb._valid_key(text, text) is 'Internal. Whether scope and key each have 1 to 255 octets.';

revoke all on function idemdb._valid_key(text, text) from public;
