-- The caller's search_path holds here as it does where the statements run, so that what PostgreSQL writes of an expression means
-- the same there. In the statements t is the stored row; r is the row given, whose columns are called "idemdb N" by their number
-- and its keys "idemdb kN", so that the unqualified names in expressions of an index are t's.
create function idemdb._row_key(
    p_index oid,
    out arbiter text,
    out keys text,
    out matches text,
    out key_null text,
    out ranking text
)
language plpgsql stable
as $$
declare
    v_part record;
    v_made text;
    v_stored text;
    v_given text;
    v_predicate text;
begin
    key_null := 'false';
    keys := '';
    for v_part in select * from idemdb._row_key_parts(p_index) loop
        v_made := null;
        if v_part.attname is null then
            v_made := pg_catalog.format('(%s)', pg_catalog.pg_get_indexdef(p_index, v_part.n, true));
        elsif v_part.made then
            select pg_catalog.format('(%s)', pg_catalog.pg_get_expr(d.adbin, d.adrelid)) into v_made
            from pg_catalog.pg_attrdef as d
            join pg_catalog.pg_index as i on i.indrelid operator(pg_catalog.=) d.adrelid
            where i.indexrelid operator(pg_catalog.=) p_index and d.adnum operator(pg_catalog.=) v_part.attnum;
        end if;
        v_stored := coalesce('t.' operator(pg_catalog.||) pg_catalog.quote_ident(v_part.attname), v_made);
        v_given := pg_catalog.format('r."idemdb %s"', v_part.attnum);
        if v_made is not null then
            v_given := pg_catalog.format('r."idemdb k%s"', v_part.n);
            keys := pg_catalog.format('%s, %s as "idemdb k%s"', keys, v_made, v_part.n);
        end if;
        arbiter := pg_catalog.concat_ws(', ', arbiter, coalesce(pg_catalog.quote_ident(v_part.attname), v_made));
        ranking := pg_catalog.concat_ws(', ', ranking, v_given operator(pg_catalog.||) '::pg_catalog.text');
        matches := pg_catalog.concat_ws(' and ', matches, pg_catalog.format(
            case when v_part.null_is_a_value then '(%1$s %2$s %3$s or %1$s is null and %4$s is null)' else '%1$s %2$s %3$s' end,
            v_stored, v_part.equals, pg_catalog.concat(v_given, v_part.collation), v_given
        ));
        if not v_part.null_is_a_value then
            key_null := pg_catalog.format('%s or %s is null', key_null, v_given);
        end if;
    end loop;
    select pg_catalog.pg_get_expr(i.indpred, i.indrelid) into v_predicate
    from pg_catalog.pg_index as i
    where i.indexrelid operator(pg_catalog.=) p_index;
    -- As literals: a predicate with parameters matches no partial index once the plan is a generic one.
    arbiter := pg_catalog.format('(%s)%s', arbiter, ' where ' operator(pg_catalog.||) v_predicate);
    matches := pg_catalog.concat_ws(' and ', matches, v_predicate);
end;
$$;

comment on function idemdb._row_key(oid) is
'Internal. What a natural key is, in SQL: the conflict target, the keys of the row given that are expressions, the match of a stored row t with a row given r, whether a key of r is null, and the texts by which batches put keys in order.';

revoke all on function idemdb._row_key(oid) from public;
