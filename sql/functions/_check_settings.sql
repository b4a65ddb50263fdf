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
