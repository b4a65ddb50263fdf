-- Wrong: updates the row that exists with what it has.
create or replace function canary._look(p_table regclass, p_row jsonb) returns jsonb
language plpgsql as $$
declare
    v_record jsonb;
begin
    execute format('update %s as t set code = t.code where t.code = $1 returning to_jsonb(t)', p_table)
    into v_record using p_row ->> 'code';
    return v_record;
end
$$;
