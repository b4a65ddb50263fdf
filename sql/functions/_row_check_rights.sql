-- PostgreSQL would refuse too, without a word about the option that helps.
create function idemdb._row_check_rights(p_table regclass, p_read text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_column text;
begin
    select min(a.attname) into v_column
    from pg_attribute as a
    where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and (p_read is null or a.attname = any (p_read))
        and not has_column_privilege(p_table, a.attnum, 'select');
    if v_column is not null then
        raise exception 'permission denied to read column "%" of table %', v_column, p_table
            using errcode = 'insufficient_privilege',
            hint = 'Columns given, those of the natural key and those of the record are read: grant SELECT on them, or name the columns of the record in option returning.';
    end if;
end;
$$;

comment on function idemdb._row_check_rights(regclass, text[]) is
'Internal. Raises 42501 with a HINT where the caller may not read columns that a row verb reads (null: all).';

revoke all on function idemdb._row_check_rights(regclass, text[]) from public;
