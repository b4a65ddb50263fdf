-- A consumer or topic becomes known when it is first used, so that the views can name it. That is no part of any promise: where
-- another transaction is just writing it down, this one goes on without.
create function idemdb._settings_of(p_kind text, p_name text) returns jsonb
language plpgsql
as $$
declare
    v_settings jsonb;
begin
    select s.settings into v_settings from idemdb.settings as s where s.kind = p_kind and s.name = p_name;
    if not found and not current_setting('transaction_read_only')::boolean
        and pg_try_advisory_xact_lock(idemdb._key_lock('idemdb settings ' || p_kind, p_name))
    then
        insert into idemdb.settings (kind, name, settings, updated_at)
        values (p_kind, p_name, '{}', clock_timestamp()) on conflict (kind, name) do nothing;
    end if;
    return idemdb._default_settings(p_kind) || coalesce(v_settings, '{}');
end;
$$;

comment on function idemdb._settings_of(text, text) is
'Internal. All settings of a consumer or topic, which becomes known by this.';

revoke all on function idemdb._settings_of(text, text) from public;
