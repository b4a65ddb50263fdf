create function idemdb._execute_exclude(p_options jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exclude jsonb := p_options -> 'exclude';
begin
    perform idemdb._check_members('p_options', p_options, '{exclude,replay_for,keep_for,raise}');
    if jsonb_typeof(v_exclude) <> 'array' then
        raise exception 'exclude must be an array of paths, not %', v_exclude
            using errcode = 'ID004', hint = 'Write it as {"exclude": ["{user,sent_at}"]}.';
    end if;
    return array(select e.path from jsonb_array_elements_text(v_exclude) as e (path));
end;
$$;

comment on function idemdb._execute_exclude(jsonb) is
'Internal. The paths that the options of execute() leave out of the fingerprint; ID004 for unknown options.';

revoke all on function idemdb._execute_exclude(jsonb) from public;
