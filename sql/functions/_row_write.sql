create function idemdb._row_write(p_verb text, p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns idemdb.row_result
language plpgsql
as $$
declare
    v_options pg_catalog.jsonb;
begin
    if not coalesce(pg_catalog.jsonb_typeof(p_row) operator(pg_catalog.=) 'object' and p_table is not null, false) then
        perform idemdb._row_refuse('no object', p_table, null, p_row);
    end if;
    if p_options is not null then
        v_options := idemdb._row_options(p_verb, p_options);
    end if;
    return idemdb._row_apply(
        p_table,
        idemdb._row_sql(
            p_verb, p_table, array(select pg_catalog.jsonb_object_keys(p_row)), p_index, coalesce(v_options, '{}')
        ),
        p_row, v_options operator(pg_catalog.->) 'expect'
    );
end;
$$;

comment on function idemdb._row_write(text, regclass, jsonb, text, jsonb) is
'Internal. create(), put() and delete() of one row.';

revoke all on function idemdb._row_write(text, regclass, jsonb, text, jsonb) from public;
