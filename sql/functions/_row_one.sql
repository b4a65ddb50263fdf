create function idemdb._row_one(p_index oid, p_guarded boolean, p_piece idemdb._row_pieces) returns idemdb._row_plan
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_plan idemdb._row_plan;
    v_deletes constant boolean := p_piece.verb = 'delete';
    v_answer constant text := '1, %L, %s, %s, null::pg_catalog.jsonb';
    v_none constant text := 'null::pg_catalog.jsonb';
    v_same constant text := '''{}''::pg_catalog.text[]';
begin
    v_plan.index_oid := p_index;
    v_plan.guarded := p_guarded;
    v_plan.triggers := p_piece.triggers;
    v_plan.read_sql := format(
        'select 1, %s, case when f."idemdb found" then %s end, case when f."idemdb found" then %s else %s end, null::pg_catalog.jsonb '
        'from %s left join (%s as t cross join (select true) as f ("idemdb found")) on %s',
        p_piece.verdict, case when v_deletes then v_none else p_piece.record end,
        case when v_deletes then v_same else p_piece.differs end, v_same, p_piece.source, p_piece.scan, p_piece.matches
    );
    v_plan.insert_sql := format(
        'insert into %s as t (%s%s) select %s%s from %s on conflict %s do nothing returning %s',
        p_piece.target,
        p_piece.names, case when v_deletes then ', ' || p_piece.tombstone end,
        p_piece.given, case when v_deletes then ', pg_catalog.clock_timestamp()' end,
        p_piece.source, p_piece.arbiter,
        case
            when v_deletes then format(v_answer, 'absent', v_none, v_same)
            -- What is inserted is what was given, unless a trigger changes it.
            when p_piece.triggers then format(v_answer, 'created', p_piece.record, format('(select %s from %s)', p_piece.differs, p_piece.source))
            else format(v_answer, 'created', p_piece.record, v_same)
        end
    );
    v_plan.update_sql := case
        when v_deletes and p_piece.tombstone is null then format(
            'delete from %s as t using %s where %s returning %s',
            p_piece.scan, p_piece.source, p_piece.guard, format(v_answer, 'deleted', v_none, v_same)
        )
        else format(
            'update %s as t set %s from %s where %s returning %s',
            p_piece.scan,
            case when v_deletes then p_piece.tombstone || ' = pg_catalog.clock_timestamp()' else p_piece.set_list end,
            p_piece.source, p_piece.guard,
            case
                when v_deletes then format(v_answer, 'deleted', p_piece.record, v_same)
                else format(v_answer, 'updated', p_piece.record, p_piece.differs)
            end
        )
    end;
    v_plan.rank_sql := format('select array[%s]::text[] from %s', p_piece.ranking, p_piece.source);
    return v_plan;
end;
$$;

comment on function idemdb._row_one(oid, boolean, idemdb._row_pieces) is
'Internal. The statements of a row verb for one row: read_sql (its outcome, or what is to do: insert, update, or why it is refused), insert_sql, update_sql (which may be a DELETE). These two give no row where another transaction was faster. rank_sql: the texts of the row''s key, by which a batch is put in order.';

revoke all on function idemdb._row_one(oid, boolean, idemdb._row_pieces) from public;
