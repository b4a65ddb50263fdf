-- Text is compared byte by byte: under a collation or a type that ignores case, a put would otherwise lose a change of case.
create function idemdb._row_differ(p_stored text, p_given text, p_type oid, p_bytes boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_operator text := case
        when not p_bytes and (select t.typcategory <> 'S' from pg_type as t where t.oid = p_type)
            then idemdb._row_operator(p_type, 3::smallint)
    end;
    v_bytes constant text := '(%s)::pg_catalog.text collate pg_catalog."C"';
begin
    if v_operator is null then
        return format(
            'not coalesce(%s operator(pg_catalog.=) %s, pg_catalog.num_nulls(%s, %s) operator(pg_catalog.=) 2)',
            format(v_bytes, p_stored), format(v_bytes, p_given), p_stored, p_given
        );
    end if;
    return format(
        'not coalesce(%1$s %3$s %2$s, pg_catalog.num_nulls(%1$s, %2$s) operator(pg_catalog.=) 2)', p_stored, p_given, v_operator
    );
end;
$$;

comment on function idemdb._row_differ(text, text, oid, boolean) is
'Internal. SQL that is true where a stored value is another one than the value given, null included; p_bytes: in its text.';

revoke all on function idemdb._row_differ(text, text, oid, boolean) from public;
