-- A row without a version is older than any.
create function idemdb._row_version(
    p_table regclass, p_options jsonb,
    out given text, out newer text, out expected text, out definition text, out name text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_column pg_attribute;
    v_type text;
    v_greater text;
begin
    if not p_options ? 'version' then
        return;
    end if;
    select * into v_column from pg_attribute as a where a.attrelid = p_table and a.attname = p_options ->> 'version';
    v_greater := idemdb._row_operator(v_column.atttypid, 5::smallint);
    if v_greater is null then
        raise exception 'column "%" has no order, so that it cannot be a version', v_column.attname
            using errcode = 'ID004', hint = 'Take a number or a time as option version.';
    end if;
    v_type := idemdb._row_type(v_column.atttypid, v_column.atttypmod);
    given := format('r."idemdb %s"', v_column.attnum);
    newer := format('(t.%1$I is null or %2$s %3$s t.%1$I)', v_column.attname, given, v_greater);
    if p_options ? 'expect' then
        expected := 'not ' || idemdb._row_differ(format('t.%I', v_column.attname), 'r."idemdb expect"', v_column.atttypid, false);
        definition := format(', "idemdb expect" %s', v_type);
        name := ', "idemdb expect"';
    end if;
end;
$$;

comment on function idemdb._row_version(regclass, jsonb) is
'Internal. Options version and expect in SQL: the version given, the conditions that it is greater than the stored one and that the stored one is as expected, the definition of the latter as a column; nulls without these options.';

revoke all on function idemdb._row_version(regclass, jsonb) from public;
