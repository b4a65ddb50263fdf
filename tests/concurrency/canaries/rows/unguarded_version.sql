-- Wrong: compares versions when it looks, and not again when it writes.
create or replace function canary._update(p_table regclass, p_row jsonb, p_stored jsonb) returns jsonb
language plpgsql as $$
declare
    v_record jsonb;
begin
    execute format(
        'update %s as t set value = $2, rev = coalesce($3, t.rev) where t.code = $1 returning to_jsonb(t)', p_table
    ) into v_record using p_row ->> 'code', p_row ->> 'value', (p_row ->> 'rev')::bigint;
    return v_record;
end
$$;
