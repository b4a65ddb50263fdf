-- While an index is being built concurrently, ON CONFLICT may report a violation of the new one, or find no arbiter for a moment.
create function idemdb._row_guarded(p_statement text, p_row jsonb) returns idemdb.row_result
language plpgsql
as $$
declare
    v_answer idemdb.row_result;
begin
    for v_try in 1..5 loop
        begin
            execute p_statement into v_answer using p_row;
            return v_answer;
        exception
            when unique_violation or invalid_column_reference then
                if v_try operator(pg_catalog.=) 5 then
                    raise;
                end if;
        end;
    end loop;
end;
$$;

comment on function idemdb._row_guarded(text, jsonb) is
'Internal. Runs a statement of a row verb on a table with an index that is being built, up to five times.';

revoke all on function idemdb._row_guarded(text, jsonb) from public;
