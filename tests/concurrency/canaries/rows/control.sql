-- Small row verbs that are right, so that each canary differs from them by its one mistake. For tables with the
-- columns id, code, value and rev; row_tomb keeps its tombstones.
create schema canary;

create type canary.row_result as (item integer, outcome text, record jsonb, differs text[], details jsonb);

create function canary._look(p_table regclass, p_row jsonb) returns jsonb
language plpgsql as $$
declare
    v_record jsonb;
begin
    execute format('select to_jsonb(t) from %s as t where t.code = $1', p_table) into v_record using p_row ->> 'code';
    return v_record;
end
$$;

create function canary._insert(p_table regclass, p_row jsonb) returns jsonb
language plpgsql as $$
declare
    v_record jsonb;
begin
    execute format(
        'insert into %s as t (code, value, rev) values ($1, $2, $3) on conflict (code) do nothing returning to_jsonb(t)',
        p_table
    ) into v_record using p_row ->> 'code', p_row ->> 'value', coalesce((p_row ->> 'rev')::bigint, 0);
    return v_record;
end
$$;

create function canary._update(p_table regclass, p_row jsonb, p_stored jsonb) returns jsonb
language plpgsql as $$
declare
    v_record jsonb;
begin
    execute format(
        'update %s as t set value = $2, rev = coalesce($3, t.rev) where t.code = $1 and to_jsonb(t) = $4 '
        'returning to_jsonb(t)',
        p_table
    ) into v_record using p_row ->> 'code', p_row ->> 'value', (p_row ->> 'rev')::bigint, p_stored;
    return v_record;
end
$$;

create function canary._answer(p_outcome text, p_row jsonb, p_record jsonb) returns canary.row_result
language sql as $$
    select 1, p_outcome, p_record, array(
        select r.key from jsonb_each(p_row) as r (key, value)
        where p_record is not null and p_record -> r.key is distinct from r.value
    ), null::jsonb
$$;

create function canary.create(p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb;
begin
    for v_round in 1..5 loop
        v_record := canary._look(p_table, p_row);
        if v_record is not null then
            return canary._answer(
                case when v_record ->> 'deleted_at' is null then 'existing' else 'gone' end, p_row, v_record
            );
        end if;
        v_record := canary._insert(p_table, p_row);
        if v_record is not null then
            return canary._answer('created', p_row, v_record);
        end if;
    end loop;
    raise exception 'no end' using errcode = '40001';
end
$$;

create function canary.put(p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb;
    v_after jsonb;
begin
    for v_round in 1..5 loop
        v_record := canary._look(p_table, p_row);
        if v_record ->> 'deleted_at' is not null then
            return canary._answer('gone', p_row, v_record);
        elsif v_record @> p_row then
            return canary._answer('unchanged', p_row, v_record);
        elsif v_record is null and p_options ? 'expect' then
            return canary._answer('stale', p_row, null);
        elsif v_record is null then
            v_after := canary._insert(p_table, p_row);
            if v_after is not null then
                return canary._answer('created', p_row, v_after);
            end if;
        elsif p_options ? 'version' and (
            (p_row ->> 'rev')::bigint <= (v_record ->> 'rev')::bigint
            or (p_options ->> 'expect')::bigint <> (v_record ->> 'rev')::bigint
        ) then
            return canary._answer('stale', p_row, v_record);
        else
            v_after := canary._update(p_table, p_row, v_record);
            if v_after is not null then
                return canary._answer('updated', p_row, v_after);
            end if;
        end if;
    end loop;
    raise exception 'no end' using errcode = '40001';
end
$$;

create function canary.delete(p_table regclass, p_key jsonb, p_index text, p_options jsonb)
returns canary.row_result
language plpgsql as $$
declare
    v_record jsonb;
begin
    if p_table <> 'public.row_tomb'::regclass then
        execute format('delete from %s as t where t.code = $1 returning to_jsonb(t)', p_table)
        into v_record using p_key ->> 'code';
        return canary._answer(case when v_record is null then 'absent' else 'deleted' end, p_key, null);
    end if;
    update public.row_tomb as t set deleted_at = clock_timestamp()
    where t.code = p_key ->> 'code' and t.deleted_at is null
    returning to_jsonb(t) into v_record;
    if v_record is not null then
        return canary._answer('deleted', p_key, v_record);
    end if;
    if p_options ? 'stub' then
        insert into public.row_tomb (code, deleted_at) values (p_key ->> 'code', clock_timestamp())
        on conflict (code) do nothing;
        if not found then
            -- Somebody's row came in between.
            update public.row_tomb as t set deleted_at = clock_timestamp()
            where t.code = p_key ->> 'code' and t.deleted_at is null
            returning to_jsonb(t) into v_record;
        end if;
    end if;
    return canary._answer(case when v_record is null then 'absent' else 'deleted' end, p_key, v_record);
end
$$;

create function canary._batch(p_verb text, p_table regclass, p_rows jsonb) returns setof canary.row_result
language plpgsql as $$
declare
    v_row record;
    v_answer canary.row_result;
begin
    -- Sorted, so that batches in opposite orders do not deadlock.
    for v_row in select r.item, r.value from jsonb_array_elements(p_rows) with ordinality as r (value, item)
        order by r.value ->> 'code' collate "C" loop
        execute format('select * from canary.%I($1, $2, null, null)', p_verb) into v_answer using p_table, v_row.value;
        v_answer.item := v_row.item;
        return next v_answer;
    end loop;
end
$$;

create function canary.create_many(p_table regclass, p_rows jsonb, p_index text, p_options jsonb)
returns setof canary.row_result
language sql as $$
    select * from canary._batch('create', p_table, p_rows)
$$;

create function canary.put_many(p_table regclass, p_rows jsonb, p_index text, p_options jsonb)
returns setof canary.row_result
language sql as $$
    select * from canary._batch('put', p_table, p_rows)
$$;
