-- All SQL of the row verbs is built here, from names that PostgreSQL quotes and from its own words for expressions; values come
-- as parameters. t is the stored row, f says whether there is one, r is the row given: its columns are called "idemdb N" by
-- their number, so that unqualified names in an expression of the index are t's. $1 is the row, with a member "idemdb expect"
-- for that option. Longer than most, because nothing here can be read without the rest.
create function idemdb._row_sql(
    p_verb text, p_table regclass, p_given text[], p_index text, p_options jsonb
) returns idemdb._row_plan
language plpgsql stable
as $$
declare
    v_deletes constant boolean := p_verb operator(pg_catalog.=) 'delete';
    v_index pg_catalog.oid;
    v_piece idemdb._row_pieces;
    v_key record;
    v_table record;
    v_version record;
    v_columns record;
    v_rows pg_catalog.text;
    v_differ pg_catalog.text;
    v_absent pg_catalog.text := '''insert''';
begin
    perform idemdb._row_check(p_table, p_given, p_options);
    v_index := idemdb._row_index(p_table, p_given, p_index, v_deletes);
    v_table := idemdb._row_table(p_table);
    v_key := idemdb._row_key(v_index);
    v_version := idemdb._row_version(p_table, p_options);
    v_piece.verb := p_verb;
    v_piece.target := v_table.name;
    v_piece.scan := v_table.scan;
    v_piece.triggers := v_table.triggers;
    v_piece.arbiter := v_key.arbiter;
    v_piece.matches := v_key.matches;
    v_piece.ranking := v_key.ranking;
    v_piece.tombstone := pg_catalog.quote_ident(idemdb._row_tombstone(v_index));

    select
        pg_catalog.string_agg(pg_catalog.format('%I %s', c.attname, c.type), ', ') filter (where c.given) as definitions,
        pg_catalog.string_agg(pg_catalog.quote_ident(c.attname), ', ') filter (where c.given) as names,
        pg_catalog.string_agg(pg_catalog.format('r.%I as "idemdb %s"', c.attname, c.attnum), ', ') filter (where c.given) as aliases,
        pg_catalog.string_agg(c.value, ', ') filter (where c.given) as given,
        pg_catalog.string_agg(pg_catalog.format('case when %s then %L end', c.differ, c.attname), ', ') filter (where c.given) as differs,
        pg_catalog.string_agg(c.differ, ' or ') filter (where c.set_to is not null) as differ,
        pg_catalog.string_agg(pg_catalog.format('%I = %s', c.attname, c.set_to), ', ') filter (where c.set_to is not null) as set_list,
        pg_catalog.array_agg(c.attname) filter (where c.given or c.key) as reads
    into v_columns
    from idemdb._row_columns(p_table, p_given, v_index, p_options) as c;
    perform idemdb._row_check_rights(p_table, case when p_options operator(pg_catalog.?) 'returning' or v_deletes and v_piece.tombstone is null
        then v_columns.reads operator(pg_catalog.||) array(select pg_catalog.jsonb_array_elements_text(p_options operator(pg_catalog.->) 'returning'))
    end);

    v_rows := pg_catalog.format('pg_catalog.jsonb_to_record($1) as r (%s%s)', v_columns.definitions, v_version.definition);
    v_piece.source := pg_catalog.format(
        '(select %s%s%s from %s) as r', v_columns.aliases, v_version.name, v_key.keys, v_rows
    );
    v_piece.names := v_columns.names;
    v_piece.given := v_columns.given;
    v_piece.set_list := v_columns.set_list;
    v_piece.differs := pg_catalog.format('pg_catalog.array_remove(array[%s]::pg_catalog.text[], null)', v_columns.differs);
    v_differ := coalesce(v_columns.differ, 'false');
    v_piece.record := 'pg_catalog.to_jsonb(t.*)';
    if p_options operator(pg_catalog.?) 'returning' then
        v_piece.record := pg_catalog.format(
            '(select pg_catalog.to_jsonb(x.*) from (select %s) as x)',
            (
                select pg_catalog.string_agg(pg_catalog.format('t.%I', o.name), ', ')
                from (select distinct pg_catalog.jsonb_array_elements_text(p_options operator(pg_catalog.->) 'returning') as name) as o
            )
        );
    end if;
    v_piece.guard := pg_catalog.concat_ws(' and ', v_piece.matches, 't.' operator(pg_catalog.||) v_piece.tombstone operator(pg_catalog.||) ' is null');

    if v_deletes then
        v_absent := case when (p_options operator(pg_catalog.->>) 'stub')::boolean then '''insert''' else '''absent''' end;
        if v_piece.tombstone is null and (p_options operator(pg_catalog.->>) 'stub')::boolean then
            raise exception 'option stub needs a natural key with a tombstone column'
                using errcode = 'ID004', hint = 'Without one an absent row leaves nothing behind.';
        end if;
    elsif p_verb operator(pg_catalog.=) 'put' then
        v_piece.guard := pg_catalog.concat_ws(' and ', v_piece.guard, pg_catalog.format('(%s)', v_differ), v_version.expected, v_version.newer);
        v_absent := case when v_version.expected is null then '''insert''' else '''stale''' end;
    end if;
    v_piece.verdict := pg_catalog.concat(
        'case when ', v_key.key_null, ' then ''null key''',
        ' when ', idemdb._row_outside(v_index, p_given, v_deletes), ' then ''outside''',
        ' when ' operator(pg_catalog.||) v_version.given operator(pg_catalog.||) ' is null then ''no version''',
        ' when f."idemdb found" is null then ', v_absent,
        ' when t.' operator(pg_catalog.||) v_piece.tombstone operator(pg_catalog.||)
        case when v_deletes then ' is not null then ''absent''' else ' is not null then ''gone''' end,
        case when p_verb operator(pg_catalog.=) 'put' then pg_catalog.format(' when not (%s) then ''unchanged''', v_differ) end,
        ' when (' operator(pg_catalog.||) pg_catalog.concat_ws(' and ', v_version.expected, v_version.newer)
        operator(pg_catalog.||) case when v_version.newer is not null then ') is not true then ''stale''' end,
        case when p_verb operator(pg_catalog.=) 'create' then ' else ''existing'' end' else ' else ''update'' end' end
    );
    return idemdb._row_one(v_index, v_table.guarded, v_piece);
end;
$$;

comment on function idemdb._row_sql(text, regclass, text[], text, jsonb) is
'Internal. The statements of a row verb for a table, the columns given, a natural key and options that _row_options() has read; ID004, ID006, 42501 with the reason where there can be none.';

revoke all on function idemdb._row_sql(text, regclass, text[], text, jsonb) from public;
