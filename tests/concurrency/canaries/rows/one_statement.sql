-- Wrong: one statement has one snapshot, so it finds no row when the other session commits while it waits.
drop function canary.create(regclass, jsonb, text, jsonb);
create function canary.create(p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns setof canary.row_result
language sql as $$
    with inserted as (
        insert into public.row_plain as t (code, value) values (p_row ->> 'code', p_row ->> 'value')
        on conflict (code) do nothing
        returning to_jsonb(t) as record
    )
    select a.* from inserted as i, canary._answer('created', p_row, i.record) as a
    union all
    select a.* from public.row_plain as t, canary._answer('existing', p_row, to_jsonb(t)) as a
    where t.code = p_row ->> 'code'
$$;
