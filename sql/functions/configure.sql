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
