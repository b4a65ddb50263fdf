-- Wrong: looks first, and takes it for granted that it may insert where it saw nothing.
create or replace function canary.create(p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb := canary._look(p_table, p_row);
begin
    if v_record is not null then
        return canary._answer('existing', p_row, v_record);
    end if;
    execute format('insert into %s (code, value) values ($1, $2)', p_table)
    using p_row ->> 'code', p_row ->> 'value';
    return canary._answer('created', p_row, canary._look(p_table, p_row));
end
$$;
