-- Wrong: takes the rows of a batch as they come, so that batches in opposite orders deadlock.
create or replace function canary._batch(p_verb text, p_table regclass, p_rows jsonb)
returns setof canary.row_result
language plpgsql as $$
declare
    v_row record;
    v_answer canary.row_result;
begin
    for v_row in select r.item, r.value from jsonb_array_elements(p_rows) with ordinality as r (value, item) loop
        execute format('select * from canary.%I($1, $2, null, null)', p_verb)
        into v_answer using p_table, v_row.value;
        v_answer.item := v_row.item;
        return next v_answer;
    end loop;
end
$$;
