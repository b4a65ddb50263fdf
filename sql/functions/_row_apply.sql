-- Read, then insert, then update, each a statement of its own with its own snapshot; whatever another transaction does in
-- between, the next round sees.
create function idemdb._row_apply(
    p_table regclass, p_plan idemdb._row_plan, p_row jsonb, p_expect jsonb, p_item integer default null
) returns idemdb.row_result
language plpgsql
as $$
declare
    v_row constant pg_catalog.jsonb := case
        when p_expect is null then p_row
        else p_row operator(pg_catalog.||) pg_catalog.jsonb_build_object('idemdb expect', p_expect)
    end;
    v_answer idemdb.row_result;
    v_step pg_catalog.text;
    v_statement pg_catalog.text;
    v_always boolean := true;
begin
    for v_try in 1..5 loop
        execute p_plan.read_sql into v_answer using v_row;
        if not v_answer.outcome operator(pg_catalog.=) any ('{insert,update}') then
            if v_answer.outcome operator(pg_catalog.=) any ('{null key,outside,no version}') then
                perform idemdb._row_refuse(v_answer.outcome, p_table, p_plan.index_oid, p_row, p_item);
            end if;
            return v_answer;
        end if;
        v_always := v_always and coalesce(v_step operator(pg_catalog.=) v_answer.outcome, true);
        v_step := v_answer.outcome;
        v_statement := case when v_step operator(pg_catalog.=) 'insert' then p_plan.insert_sql else p_plan.update_sql end;
        if v_try operator(pg_catalog.=) 1 then
            perform idemdb._check_writable(pg_catalog.concat('write to ', p_table));
        end if;
        if p_plan.guarded then
            v_answer := idemdb._row_guarded(v_statement, v_row);
        else
            execute v_statement into v_answer using v_row;
        end if;
        if v_answer.outcome is not null then
            return v_answer;
        end if;
    end loop;
    perform idemdb._row_give_up(p_table, v_step, v_always, p_plan.triggers);
end;
$$;

comment on function idemdb._row_apply(regclass, idemdb._row_plan, jsonb, jsonb, integer) is
'Internal. Carries out the plan of a row verb for one row; p_item: its position in a batch.';

revoke all on function idemdb._row_apply(regclass, idemdb._row_plan, jsonb, jsonb, integer) from public;
