-- Unknown members are refused, not ignored: a misspelt option must not silently have no effect.
create function idemdb._check_members(p_what text, p_given jsonb, p_known text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
begin
    if jsonb_typeof(p_given) <> 'object' then
        raise exception '% must be a JSON object, not %', p_what, jsonb_typeof(p_given)
            using errcode = 'ID004', hint = format('Its members may be: %s.', array_to_string(p_known, ', '));
    end if;
    select min(m) into v_unknown from jsonb_object_keys(p_given) as m where m <> all (p_known);
    if v_unknown is not null then
        raise exception 'unknown member "%" in %', v_unknown, p_what
            using errcode = 'ID004', hint = format('Known are: %s.', array_to_string(p_known, ', '));
    end if;
end;
$$;

comment on function idemdb._check_members(text, jsonb, text[]) is
'Internal. Raises ID004 unless p_given is null or an object with known members only.';

revoke all on function idemdb._check_members(text, jsonb, text[]) from public;
