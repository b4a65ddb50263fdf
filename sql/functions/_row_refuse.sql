create function idemdb._row_refuse(p_why text, p_table regclass, p_index oid, p_row jsonb, p_item integer default null)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_which text := case when p_item is null then 'the row' else format('row %s of the batch', p_item) end;
    v_key text := array_to_string(idemdb._row_key_columns(p_index), ', ');
begin
    if p_table is null then
        raise exception 'the table is null' using errcode = 'ID004', hint = 'Name the table: ''app.users''.';
    elsif p_why = 'no object' then
        raise exception '% must be a JSON object, not %', v_which, coalesce(jsonb_typeof(p_row), 'null')
            using errcode = 'ID004', hint = 'Its members are columns and their values: {"email": "ada@example.org"}.';
    elsif p_why = 'null key' then
        raise exception '% has a null in its natural key % (%)', v_which, p_index::regclass, v_key
            using errcode = 'ID004',
            hint = 'Nulls are never equal to each other; give all columns of the key, or make the index NULLS NOT DISTINCT.';
    elsif p_why = 'outside' then
        raise exception '% lies outside of the predicate of natural key %', v_which, p_index::regclass
            using errcode = 'ID004',
            hint = 'The partial unique index says nothing about such rows; write them with INSERT or UPDATE, or use another natural key.';
    end if;
    raise exception '% has no version', v_which
        using errcode = 'ID004', hint = 'The column that option version names must not be null.';
end;
$$;

comment on function idemdb._row_refuse(text, regclass, oid, jsonb, integer) is
'Internal. Raises ID004 for a row that a row verb refuses.';

revoke all on function idemdb._row_refuse(text, regclass, oid, jsonb, integer) from public;
