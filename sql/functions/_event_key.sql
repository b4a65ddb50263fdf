-- Not immutable, though it is: convert_to() is declared stable, and the planner inlines only what is declared no better.
create function idemdb._event_key(p_consumer text, p_event_id text) returns uuid
language sql stable parallel safe
return encode(
    substring(sha256(convert_to(p_consumer, 'UTF8') || '\x00'::bytea || convert_to(p_event_id, 'UTF8')) for 16), 'hex'
)::uuid;

comment on function idemdb._event_key(text, text) is
'Internal. The identity (consumer, event id) in 16 bytes: a truncated SHA-256, which nobody finds a collision of by chance.';

revoke all on function idemdb._event_key(text, text) from public;
