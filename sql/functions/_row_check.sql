create function idemdb._row_check(p_table regclass, p_given text[], p_options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind "char";
    v_column record;
begin
    select c.relkind into v_kind from pg_class as c where c.oid = p_table;
    if v_kind is null or v_kind not in ('r', 'p') then
        raise exception '% is no table', coalesce(p_table::text, 'null')
            using errcode = 'ID004', hint = 'Rows are written to tables, partitioned ones too, and not through views or to foreign tables.';
    elsif exists (select from pg_rewrite as r where r.ev_class = p_table) then
        raise exception 'table % has rules, which ON CONFLICT does not work with', p_table
            using errcode = 'ID004', hint = 'Use a trigger instead of the rule.';
    end if;
    for v_column in
        select g.name, a.attname, a.attgenerated, a.attidentity
        from unnest(p_given) as g (name)
        left join pg_attribute as a on a.attrelid = p_table and a.attname = g.name and a.attnum > 0 and not a.attisdropped
        order by a.attnum nulls first, g.name
    loop
        if v_column.attname is null or v_column.attgenerated <> '' or v_column.attidentity = 'a'
            or p_options ? 'columns' and not (p_options -> 'columns') ? v_column.name
        then
            raise exception '%', case
                when v_column.attname is null then format('table %s has no column "%s"', p_table, v_column.name)
                when v_column.attgenerated <> '' then format('column "%s" of %s is generated', v_column.name, p_table)
                when v_column.attidentity = 'a' then format('column "%s" of %s is generated always', v_column.name, p_table)
                else format('column "%s" of %s is not allowed', v_column.name, p_table)
            end
                using errcode = 'ID004', hint = 'Leave it out, or correct its name; option columns says which are allowed.';
        end if;
    end loop;
    for v_column in
        select o.name
        from (
            select jsonb_array_elements_text(p_options -> 'returning') as name
            union all
            select jsonb_array_elements_text(p_options -> 'columns')
            union all
            select p_options ->> 'version'
        ) as o
        where o.name is not null and not exists (
            select from pg_attribute as a where a.attrelid = p_table and a.attname = o.name and a.attnum > 0 and not a.attisdropped
        )
    loop
        raise exception 'table % has no column "%", which an option names', p_table, v_column.name
            using errcode = 'ID004', hint = 'Correct the name in option columns, returning or version.';
    end loop;
    if p_options ->> 'version' <> all (p_given) then
        raise exception 'the row has no column "%", which option version names', p_options ->> 'version'
            using errcode = 'ID004', hint = 'Give the version of the row with it.';
    end if;
end;
$$;

comment on function idemdb._row_check(regclass, text[], jsonb) is
'Internal. Raises ID004 for what is no table, and for columns that cannot or must not be given.';

revoke all on function idemdb._row_check(regclass, text[], jsonb) from public;
