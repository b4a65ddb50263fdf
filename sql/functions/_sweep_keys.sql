create function idemdb._sweep_keys(p_limit integer) returns setof idemdb.sweep_result
language plpgsql
as $$
declare
    v_step constant bigint := 128; -- blocks (1 MiB): a few milliseconds
    v_next bigint;
    v_read bigint := 0;
    v_answers bigint := 0;
    v_keys bigint := 0;
    v_blocks bigint;
    v_removed record;
    v_complete boolean := false;
begin
    select c.next_block into v_next from idemdb.sweep_cursor as c where c.what = 'keys' for update skip locked;
    if found then
        v_blocks := pg_relation_size('idemdb.keys') / current_setting('block_size')::bigint;
        while v_next < v_blocks and v_read < p_limit and v_answers < p_limit and v_keys < p_limit loop
            v_removed := idemdb._sweep_key_blocks(
                v_next, least(v_step, p_limit - v_read), p_limit - v_answers, p_limit - v_keys
            );
            v_answers := v_answers + v_removed.answers;
            v_keys := v_keys + v_removed.keys;
            -- A step that used up its limit may have left something behind.
            exit when v_answers >= p_limit or v_keys >= p_limit;
            v_next := v_next + least(v_step, p_limit - v_read);
            v_read := v_read + v_step;
        end loop;
        v_complete := v_next >= v_blocks;
        update idemdb.sweep_cursor as c
        set next_block = case when v_complete then 0 else v_next end,
            pass_completed_at = case when v_complete then clock_timestamp() else c.pass_completed_at end
        where c.what = 'keys';
    end if;
    return query values ('answers', v_answers, v_complete), ('keys', v_keys, v_complete);
end;
$$;

comment on function idemdb._sweep_keys(integer) is
'Internal. The part of sweep() for idempotency keys: goes on at the stored cursor; a pass that reaches the end begins anew.';

revoke all on function idemdb._sweep_keys(integer) from public;
