-- A column that is not given keeps its value, or has its default in a new row.
create function idemdb._row_outside(p_index oid, p_given text[], p_delete boolean) returns text
language plpgsql stable
as $$
declare
    v_column record;
    v_list pg_catalog.text;
    v_value pg_catalog.text;
begin
    for v_column in
        select
            a.attnum,
            a.attname,
            idemdb._row_type(a.atttypid, a.atttypmod) as type,
            pg_catalog.pg_get_expr(d.adbin, d.adrelid) as made,
            a.attgenerated
        from idemdb._row_predicate_columns(p_index) as c (attnum)
        join pg_catalog.pg_index as i on i.indexrelid operator(pg_catalog.=) p_index
        join pg_catalog.pg_attribute as a
            on a.attrelid operator(pg_catalog.=) i.indrelid and a.attnum operator(pg_catalog.=) c.attnum
        left join pg_catalog.pg_attrdef as d
            on d.adrelid operator(pg_catalog.=) a.attrelid and d.adnum operator(pg_catalog.=) a.attnum
    loop
        if v_column.attname::pg_catalog.text operator(pg_catalog.=) any (p_given) then
            v_value := pg_catalog.format('r."idemdb %s"', v_column.attnum);
        elsif p_delete then
            return 'false'; -- absent, or found by a match that includes the predicate
        else
            v_value := pg_catalog.format(
                'case when f."idemdb found" then t.%I else (%s)::%s end',
                v_column.attname,
                case when v_column.attgenerated operator(pg_catalog.=) '' then coalesce(v_column.made, 'null') else 'null' end,
                v_column.type
            );
        end if;
        v_list := pg_catalog.concat_ws(', ', v_list, pg_catalog.format('%s as %I', v_value, v_column.attname));
    end loop;
    if v_list is null then
        return 'false';
    end if;
    return (
        select pg_catalog.format(
            '(select %s from (select %s) as p) is not true', pg_catalog.pg_get_expr(i.indpred, i.indrelid), v_list
        )
        from pg_catalog.pg_index as i
        where i.indexrelid operator(pg_catalog.=) p_index
    );
end;
$$;

comment on function idemdb._row_outside(oid, text[], boolean) is
'Internal. SQL that is true where a row given, completed by what is stored or by defaults, lies outside of the predicate of a partial index.';

revoke all on function idemdb._row_outside(oid, text[], boolean) from public;
