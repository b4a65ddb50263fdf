create function idemdb._execute_call(p_function text) returns text
language plpgsql stable
as $$
declare
    v_function pg_catalog.regprocedure;
begin
    v_function := pg_catalog.to_regprocedure(pg_catalog.concat(p_function, '(jsonb)'));
    if pg_catalog.pg_get_function_result(v_function) operator(pg_catalog.=) 'jsonb' then
        return pg_catalog.format('select %s($1)', v_function::pg_catalog.regproc);
    end if;
    raise exception 'there is no function %(jsonb) returns jsonb', coalesce(p_function, 'null')
        using errcode = 'ID004', hint = 'Name a function with one jsonb parameter, with its schema: ''app.pay''.';
exception
    when syntax_error or invalid_name then
        raise exception '"%" is no function name', p_function
            using errcode = 'ID004', hint = 'Write it as in SQL, without parameters: ''app.pay''.';
end;
$$;

comment on function idemdb._execute_call(text) is
'Internal. The statement that calls a user''s function; ID004 unless it is a (jsonb) returns jsonb function.';

revoke all on function idemdb._execute_call(text) from public;
