create function idemdb._row_options(p_verb text, p_options jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_options jsonb;
    v_name text;
    v_wanted text;
    v_good boolean;
begin
    perform idemdb._check_members('p_options', p_options, case p_verb
        when 'put' then '{columns,returning,version,expect,replace}'::text[]
        when 'put_many' then '{columns,returning,version,replace}'
        when 'delete' then '{columns,returning,stub}'::text[]
        else '{columns,returning}'::text[]
    end);
    v_options := jsonb_strip_nulls(p_options);
    for v_name in select k from jsonb_object_keys(v_options) as k loop
        v_wanted := case
            when v_name in ('columns', 'returning') then 'an array of column names'
            when v_name = 'version' then 'the name of a column'
            when v_name in ('replace', 'stub') then 'true or false'
            else 'a plain value'
        end;
        v_good := case v_wanted
            when 'an array of column names' then jsonb_typeof(v_options -> v_name) = 'array'
                and not jsonb_path_exists(v_options -> v_name, '$[*] ? (@.type() != "string")')
            when 'the name of a column' then jsonb_typeof(v_options -> v_name) = 'string'
            when 'true or false' then jsonb_typeof(v_options -> v_name) = 'boolean'
            else jsonb_typeof(v_options -> v_name) in ('string', 'number', 'boolean')
        end;
        if not v_good then
            raise exception 'option % must be %, not %', v_name, v_wanted, v_options -> v_name
                using errcode = 'ID004', hint = 'Leave it out for the default.';
        end if;
    end loop;
    if v_options ? 'expect' and not v_options ? 'version' then
        raise exception 'option expect needs option version'
            using errcode = 'ID004', hint = 'Name the column that expect is the present value of, as option version.';
    end if;
    return v_options;
end;
$$;

comment on function idemdb._row_options(text, jsonb) is
'Internal. The options of a row verb without nulls; ID004 for unknown or malformed ones.';

revoke all on function idemdb._row_options(text, jsonb) from public;
