-- Wrong: says that it deleted what it saw, whoever deleted it.
create or replace function canary.delete(p_table regclass, p_key jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb := canary._look(p_table, p_key);
begin
    execute format('delete from %s as t where t.code = $1', p_table) using p_key ->> 'code';
    return canary._answer(case when v_record is null then 'absent' else 'deleted' end, p_key, null);
end
$$;
