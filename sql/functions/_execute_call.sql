create function idemdb._execute_call(p_function text) returns text
language plpgsql stable
as $$
declare
    v_call text;
begin
    select pg_catalog.format('select %I.%I($1)', n.nspname, f.proname) into v_call
    from pg_catalog.pg_proc as f
    join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) f.pronamespace
    where f.oid operator(pg_catalog.=) pg_catalog.to_regprocedure(pg_catalog.concat(p_function, '(jsonb)'))
        and f.prorettype operator(pg_catalog.=) 'pg_catalog.jsonb'::pg_catalog.regtype
        and f.prokind operator(pg_catalog.=) 'f' and not f.proretset;
    if v_call is null then
        raise exception 'there is no function %(jsonb) returns jsonb', coalesce(p_function, 'null')
            using errcode = 'ID004', hint = 'Name a function with one jsonb parameter, with its schema: ''app.pay''.';
    end if;
    return v_call;
exception
    when syntax_error or invalid_name then
        raise exception '"%" is no function name', p_function
            using errcode = 'ID004', hint = 'Write it as in SQL, without parameters: ''app.pay''.';
end;
$$;

comment on function idemdb._execute_call(text) is
'Internal. The statement that calls a user''s function; ID004 unless it is a (jsonb) returns jsonb function.';

revoke all on function idemdb._execute_call(text) from public;
