create function idemdb._default_settings(p_kind text) returns jsonb
language sql immutable parallel safe
return case p_kind
    when 'consumer' then '{"keep_for": "30 days", "max_attempts": 5}'::jsonb
    when 'topic' then '{"keep_for": "30 days", "max_attempts": 5, "notify": false}'::jsonb
end;

comment on function idemdb._default_settings(text) is
'Internal. The settings of a consumer or topic that was never configured; null for an unknown kind.';

revoke all on function idemdb._default_settings(text) from public;
