-- Rows are written in the order of their keys' texts, so that two batches never wait for each other in a circle.
create function idemdb._row_write_many(p_verb text, p_table regclass, p_rows jsonb, p_index text, p_options jsonb)
returns setof idemdb.row_result
language plpgsql
as $$
declare
    v_options pg_catalog.jsonb := '{}';
    v_shapes pg_catalog.jsonb := '{}';
    v_plans idemdb._row_plan[];
    v_looks idemdb._row_plan[];
    v_rank pg_catalog.text[];
    v_ranks pg_catalog.text[] := '{}';
    v_used integer[] := '{}';
    v_row record;
    v_plan integer;
    v_answer idemdb.row_result;
    v_answers idemdb.row_result[];
begin
    if not coalesce(pg_catalog.jsonb_typeof(p_rows) operator(pg_catalog.=) 'array' and p_table is not null, false) then
        raise exception 'the rows must be a JSON array of objects, not %', coalesce(pg_catalog.jsonb_typeof(p_rows), 'null')
            using errcode = 'ID004', hint = 'Give the table, and an array of rows: [{"email": "ada@example.org"}].';
    end if;
    if p_options is not null then
        v_options := idemdb._row_options(p_verb operator(pg_catalog.||) '_many', p_options);
    end if;
    for v_row in select e.value, e.ordinality as item, null::pg_catalog.text as shape
        from pg_catalog.jsonb_array_elements(p_rows) with ordinality as e
    loop
        if pg_catalog.jsonb_typeof(v_row.value) operator(pg_catalog.<>) 'object' then
            perform idemdb._row_refuse('no object', p_table, null, v_row.value, v_row.item::integer);
        end if;
        v_row.shape := array(select pg_catalog.jsonb_object_keys(v_row.value))::pg_catalog.text;
        if not v_shapes operator(pg_catalog.?) v_row.shape then
            v_plans := v_plans operator(pg_catalog.||) idemdb._row_sql(
                p_verb, p_table, v_row.shape::pg_catalog.text[], p_index, v_options
            );
            v_shapes := v_shapes operator(pg_catalog.||)
                pg_catalog.jsonb_build_object(v_row.shape, pg_catalog.cardinality(v_plans));
        end if;
        v_plan := v_shapes operator(pg_catalog.->) v_row.shape;
        execute v_plans[v_plan].rank_sql into v_rank using v_row.value;
        v_ranks := v_ranks operator(pg_catalog.||) v_rank::pg_catalog.text;
        v_used := v_used operator(pg_catalog.||) v_plan;
    end loop;

    v_answers := pg_catalog.array_fill(null::idemdb.row_result, array[pg_catalog.cardinality(v_used)]);
    for v_row in
        select
            r.item::integer as item, r.plan, p_rows operator(pg_catalog.->) (r.item::integer operator(pg_catalog.-) 1) as value,
            p_verb operator(pg_catalog.=) 'put' and pg_catalog.lead(true) over same is true as superseded
        from rows from (pg_catalog.unnest(v_ranks), pg_catalog.unnest(v_used)) with ordinality as r (rank, plan, item)
        window same as (partition by r.rank order by r.item)
        -- The last of a repeated key first, so that the others are compared with what it leaves.
        order by r.rank::pg_catalog.text[] collate pg_catalog."C", superseded, r.item
    loop
        if v_row.superseded then
            if v_looks[v_row.plan].read_sql is null then
                v_looks[v_row.plan] := idemdb._row_sql(
                    'create', p_table, array(select pg_catalog.jsonb_object_keys(v_row.value)), p_index,
                    v_options operator(pg_catalog.-) '{version,replace}'::pg_catalog.text[]
                );
            end if;
            execute v_looks[v_row.plan].read_sql into v_answer using v_row.value;
            v_answer.outcome := case
                when v_answer.outcome operator(pg_catalog.=) 'gone' then 'gone'
                when v_answer.differs operator(pg_catalog.=) '{}' then 'unchanged'
                else 'stale'
            end;
        else
            v_answer := idemdb._row_apply(p_table, v_plans[v_row.plan], v_row.value, null, v_row.item);
        end if;
        v_answer.item := v_row.item;
        v_answers[v_row.item] := v_answer;
    end loop;
    return query select * from pg_catalog.unnest(v_answers);
end;
$$;

comment on function idemdb._row_write_many(text, regclass, jsonb, text, jsonb) is
'Internal. create_many() and put_many(). Of a repeated key put writes the last, and says of the others how they compare with it.';

revoke all on function idemdb._row_write_many(text, regclass, jsonb, text, jsonb) from public;
