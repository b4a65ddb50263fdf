-- Somebody else's comment may begin like ours.
create function idemdb._row_tombstone(p_index oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_comment text := obj_description(p_index, 'pg_class');
    v_column text;
begin
    if v_comment is null or not starts_with(v_comment, 'idemdb natural key: ') then
        return null;
    end if;
    begin
        v_column := substr(v_comment, 21)::jsonb ->> 'tombstone';
    exception
        when invalid_text_representation then
            return null;
    end;
    if v_column is not null and not exists (
        select from pg_index as i
        join pg_attribute as a on a.attrelid = i.indrelid and a.attname = v_column and a.attnum > 0 and not a.attisdropped
        where i.indexrelid = p_index and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
    ) then
        raise exception 'the comment of index % names a tombstone column "%", and there is no such timestamptz column',
            p_index::regclass, v_column
            using errcode = 'ID006', hint = 'Add the column, or write the comment again with COMMENT ON INDEX.';
    end if;
    return v_column;
end;
$$;

comment on function idemdb._row_tombstone(oid) is
'Internal. The tombstone column that the comment of a natural key''s index names, or null.';

revoke all on function idemdb._row_tombstone(oid) from public;
