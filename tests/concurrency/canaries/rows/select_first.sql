-- Wrong: looks first, inserts where it saw nothing, and does not look again where that did nothing.
create or replace function canary.create(p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb := canary._look(p_table, p_row);
begin
    if v_record is not null then
        return canary._answer('existing', p_row, v_record);
    end if;
    perform canary._insert(p_table, p_row);
    return canary._answer('created', p_row, canary._look(p_table, p_row));
end
$$;
