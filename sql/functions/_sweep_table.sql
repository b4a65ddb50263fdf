-- What is expired, and what becomes of it, is said by a function of the table's own, _sweep_<table>.
create function idemdb._sweep_table(p_table text, p_limit integer) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_blocks constant bigint := pg_relation_size(format('idemdb.%I', p_table)) / current_setting('block_size')::bigint;
    v_cursor bigint;
    v_from bigint;
    v_to bigint;
    v_step idemdb.sweep_result;
    v_most bigint := 0;
    v_removed jsonb := '{}';
begin
    select c.next_block into v_cursor from idemdb.sweep_cursor as c where c.what = p_table for update skip locked;
    v_from := coalesce(v_cursor, 0);
    -- While somebody else sweeps this table the range is empty: one step, which names each kind and removes nothing.
    v_to := case when v_cursor is null then v_from else least(v_from + p_limit, v_blocks) end;
    loop
        for v_step in
            execute format('select * from idemdb.%I($1, $2, $3)', '_sweep_' || p_table)
            using format('(%s,0)', v_from)::tid, format('(%s,0)', least(v_from + 128, v_to))::tid, p_limit - v_most
        loop
            v_step.removed := v_step.removed + coalesce((v_removed ->> v_step.what)::bigint, 0);
            v_removed := v_removed || jsonb_build_object(v_step.what, v_step.removed);
            v_most := greatest(v_most, v_step.removed);
        end loop;
        -- A step that used up the limit may have left something behind: the next call begins with it.
        exit when v_most >= p_limit;
        v_from := least(v_from + 128, v_to);
        exit when v_from >= v_to;
    end loop;

    update idemdb.sweep_cursor as c
    set next_block = case when v_from >= v_blocks then 0 else v_from end,
        pass_completed_at = case when v_from >= v_blocks then clock_timestamp() else c.pass_completed_at end
    where c.what = p_table and v_cursor is not null;
    return query
        select r.key, r.value::bigint, v_cursor is not null and v_from >= v_blocks from jsonb_each_text(v_removed) as r;
end;
$$;

comment on function idemdb._sweep_table(text, integer) is
'Internal. One call''s part of a walk over one table: goes on at the stored cursor, in steps of 128 blocks (1 MiB, a few milliseconds each); a pass that reaches the end begins anew.';

revoke all on function idemdb._sweep_table(text, integer) from public;
