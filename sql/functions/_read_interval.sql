-- An interval out of a jsonb setting.
create function idemdb._read_interval(p_settings jsonb, p_name text) returns interval
language plpgsql immutable
as $$
declare
    v_period interval;
begin
    v_period := p_settings ->> p_name;
    if not idemdb._valid_period(v_period) then
        raise interval_field_overflow;
    end if;
    return v_period;
exception
    when data_exception then
        raise exception '% must be an interval above zero, not %', p_name, p_settings -> p_name
            using errcode = 'ID004', hint = 'Write it as text that PostgreSQL reads as an interval: "24 hours", "30 days".';
end;
$$;

comment on function idemdb._read_interval(jsonb, text) is
'Internal. The named member as an interval, null where it is absent or null; ID004 where it is none or not above zero.';

revoke all on function idemdb._read_interval(jsonb, text) from public;
