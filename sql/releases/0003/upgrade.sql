-- file: types/row_result.sql
-- What create, put, delete and their batches answer. Frozen: new facts go into details.
create type idemdb.row_result as (
    item integer,
    outcome text,
    record jsonb,
    differs text[],
    details jsonb
);

comment on type idemdb.row_result is
'Answer of create(), put(), delete(), create_many(), put_many(). item: position in the batch, from 1. outcome: never null. record: the row as it now stands, null where there is none. differs: columns given whose stored value is another one, never null. details: null so far.';

-- file: types/_row_plan.sql
create type idemdb._row_plan as (
    index_oid oid,
    triggers boolean,
    guarded boolean,
    read_sql text,
    insert_sql text,
    update_sql text,
    rank_sql text
);

comment on type idemdb._row_plan is
'Internal. The statements of one row verb for one table, natural key, set of columns and options. Each takes the row as jsonb; read_sql, insert_sql and update_sql give a row_result, rank_sql the texts of its key. triggers: there are BEFORE ROW triggers. guarded: an index is being built, so that spurious conflicts are possible.';

-- file: types/_row_pieces.sql
create type idemdb._row_pieces as (
    verb text,
    target text,
    scan text,
    source text,
    names text,
    given text,
    arbiter text,
    matches text,
    verdict text,
    record text,
    differs text,
    guard text,
    set_list text,
    tombstone text,
    ranking text,
    triggers boolean
);

comment on type idemdb._row_pieces is
'Internal. Pieces of SQL from which the statements of a row verb are put together; see _row_sql().';

-- file: functions/_check_writable.sql
create or replace function idemdb._check_writable(p_what text) returns void
language plpgsql
as $$
begin
    if pg_catalog.current_setting('transaction_read_only')::boolean then
        raise exception 'cannot % in a read-only transaction', p_what
            using errcode = 'read_only_sql_transaction',
            hint = case
                when pg_catalog.pg_is_in_recovery() then 'Connect to the primary: this is a standby.'
                else 'Begin the transaction READ WRITE.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_writable(text) is
'Internal. Raises 25006 with a HINT in a read-only transaction and on a standby.';

revoke all on function idemdb._check_writable(text) from public;

-- file: functions/_row_type.sql
-- A name that means the same under any search_path; only keywords such as "character varying" have none.
create function idemdb._row_type(p_type oid, p_modifier integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when n.nspname = 'pg_catalog' and p_modifier <> -1 then format_type(p_type, p_modifier)
        else format('%I.%I%s', n.nspname, t.typname, substring(format_type(p_type, p_modifier) from '\([^()]*\)'))
    end
    from pg_type as t
    join pg_namespace as n on n.oid = t.typnamespace
    where t.oid = p_type
$$;

comment on function idemdb._row_type(oid, integer) is
'Internal. A type as it is written in SQL, with its schema and modifier.';

revoke all on function idemdb._row_type(oid, integer) from public;

-- file: functions/_row_operator.sql
-- IS DISTINCT FROM and ORDER BY would look for an operator called = by search_path, where another or none may be found.
create function idemdb._row_operator(p_type oid, p_strategy smallint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type pg_type;
    v_own text := format('operator(pg_catalog.%s)', case p_strategy when 3 then '=' else '>' end);
begin
    select * into v_type from pg_type as t where t.oid = p_type;
    if v_type.typtype = 'd' then
        return idemdb._row_operator(v_type.typbasetype, p_strategy);
    elsif v_type.typcategory = 'A' and v_type.typelem <> 0 then
        return case when idemdb._row_operator(v_type.typelem, p_strategy) is not null then v_own end;
    elsif v_type.typtype in ('e', 'r', 'm') or p_type in ('varchar'::regtype, 'cidr'::regtype) then
        return v_own;
    elsif v_type.typtype = 'c' then
        return (
            select case when bool_and(idemdb._row_operator(a.atttypid, p_strategy) is not null) then v_own end
            from pg_attribute as a
            where a.attrelid = v_type.typrelid and a.attnum > 0 and not a.attisdropped
        );
    end if;
    return (
        select format('operator(%I.%s)', n.nspname, o.oprname)
        from pg_opclass as c
        join pg_am as m on m.oid = c.opcmethod
        join pg_amop as p
            on p.amopfamily = c.opcfamily and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
            and (m.amname = 'btree' and p.amopstrategy = p_strategy or m.amname = 'hash' and p_strategy = 3)
        join pg_operator as o on o.oid = p.amopopr
        join pg_namespace as n on n.oid = o.oprnamespace
        where c.opcdefault and c.opcintype = p_type and m.amname in ('btree', 'hash')
        order by m.amname
        limit 1
    );
end;
$$;

comment on function idemdb._row_operator(oid, smallint) is
'Internal. The equality (strategy 3) or greater-than (5) operator of a type, qualified as in SQL; null if it has none.';

revoke all on function idemdb._row_operator(oid, smallint) from public;

-- file: functions/_row_differ.sql
-- Text is compared byte by byte: under a collation or a type that ignores case, a put would otherwise lose a change of case.
create function idemdb._row_differ(p_stored text, p_given text, p_type oid, p_bytes boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_operator text := case
        when not p_bytes and (select t.typcategory <> 'S' from pg_type as t where t.oid = p_type)
            then idemdb._row_operator(p_type, 3::smallint)
    end;
    v_bytes constant text := '(%s)::pg_catalog.text collate pg_catalog."C"';
begin
    if v_operator is null then
        return format(
            'not coalesce(%s operator(pg_catalog.=) %s, pg_catalog.num_nulls(%s, %s) operator(pg_catalog.=) 2)',
            format(v_bytes, p_stored), format(v_bytes, p_given), p_stored, p_given
        );
    end if;
    return format(
        'not coalesce(%1$s %3$s %2$s, pg_catalog.num_nulls(%1$s, %2$s) operator(pg_catalog.=) 2)', p_stored, p_given, v_operator
    );
end;
$$;

comment on function idemdb._row_differ(text, text, oid, boolean) is
'Internal. SQL that is true where a stored value is another one than the value given, null included; p_bytes: in its text.';

revoke all on function idemdb._row_differ(text, text, oid, boolean) from public;

-- file: functions/_row_key_parts.sql
create function idemdb._row_key_parts(
    p_index oid,
    out n integer,
    out attnum smallint,
    out attname text,
    out made boolean,
    out equals text,
    out collation text,
    out null_is_a_value boolean
)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select
        k.n,
        a.attnum,
        a.attname::text,
        a.attgenerated <> '',
        format('operator(%I.%s)', n.nspname, o.oprname),
        case when c.oid is null then '' else format(' collate %I.%I', s.nspname, c.collname) end,
        i.indnullsnotdistinct
    from pg_index as i
    cross join generate_series(1, i.indnkeyatts) as k (n)
    left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n - 1] and a.attnum <> 0
    join pg_opclass as f on f.oid = i.indclass[k.n - 1]
    join pg_amop as p
        on p.amopfamily = f.opcfamily and p.amoplefttype = f.opcintype and p.amoprighttype = f.opcintype and p.amopstrategy = 3
    join pg_operator as o on o.oid = p.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace
    left join pg_collation as c on c.oid = i.indcollation[k.n - 1]
    left join pg_namespace as s on s.oid = c.collnamespace
    where i.indexrelid = p_index
    order by k.n
$$;

comment on function idemdb._row_key_parts(oid) is
'Internal. The parts of a unique index in their order: the column (null for an expression), whether it is generated, the equality and collation that the index uses.';

revoke all on function idemdb._row_key_parts(oid) from public;

-- file: functions/_row_key_columns.sql
-- The columns of expressions stand in the stored trees only, as Var nodes. A generated column stands for the columns that it is
-- made of: nobody can give its value.
create function idemdb._row_key_columns(p_index oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with keys as (
        select i.indrelid, k.attnum
        from pg_index as i, unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
        where i.indexrelid = p_index and k.n <= i.indnkeyatts and k.attnum <> 0
        union
        select i.indrelid, v.found[1]::int2
        from pg_index as i, regexp_matches(i.indexprs::text, ':varattno (-?\d+) ', 'g') as v (found)
        where i.indexrelid = p_index
    ),
    made as (
        select k.indrelid, k.attnum from keys as k
        join pg_attribute as a on a.attrelid = k.indrelid and a.attnum = k.attnum and a.attgenerated = ''
        union
        select k.indrelid, v.found[1]::int2 from keys as k
        join pg_attribute as a on a.attrelid = k.indrelid and a.attnum = k.attnum and a.attgenerated <> ''
        join pg_attrdef as d on d.adrelid = k.indrelid and d.adnum = k.attnum,
        regexp_matches(d.adbin::text, ':varattno (-?\d+) ', 'g') as v (found)
    )
    select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
    from made as m
    join pg_attribute as a on a.attrelid = m.indrelid and a.attnum = m.attnum
$$;

comment on function idemdb._row_key_columns(oid) is
'Internal. The columns that a caller must give for a unique index to tell which row is meant.';

revoke all on function idemdb._row_key_columns(oid) from public;

-- file: functions/_row_predicate_columns.sql
create function idemdb._row_predicate_columns(p_index oid) returns setof smallint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct v.found[1]::smallint
    from pg_index as i, regexp_matches(i.indpred::text, ':varattno (-?\d+) ', 'g') as v (found)
    where i.indexrelid = p_index
$$;

comment on function idemdb._row_predicate_columns(oid) is
'Internal. The numbers of the columns that the predicate of a partial index reads.';

revoke all on function idemdb._row_predicate_columns(oid) from public;

-- file: functions/_row_outside.sql
-- A column that is not given keeps its value, or has its default in a new row.
create function idemdb._row_outside(p_index oid, p_given text[], p_delete boolean) returns text
language plpgsql stable
as $$
declare
    v_column record;
    v_list pg_catalog.text;
    v_value pg_catalog.text;
begin
    for v_column in
        select
            a.attnum,
            a.attname,
            idemdb._row_type(a.atttypid, a.atttypmod) as type,
            pg_catalog.pg_get_expr(d.adbin, d.adrelid) as made,
            a.attgenerated
        from idemdb._row_predicate_columns(p_index) as c (attnum)
        join pg_catalog.pg_index as i on i.indexrelid operator(pg_catalog.=) p_index
        join pg_catalog.pg_attribute as a
            on a.attrelid operator(pg_catalog.=) i.indrelid and a.attnum operator(pg_catalog.=) c.attnum
        left join pg_catalog.pg_attrdef as d
            on d.adrelid operator(pg_catalog.=) a.attrelid and d.adnum operator(pg_catalog.=) a.attnum
    loop
        if v_column.attname::pg_catalog.text operator(pg_catalog.=) any (p_given) then
            v_value := pg_catalog.format('r."idemdb %s"', v_column.attnum);
        elsif p_delete then
            return 'false'; -- absent, or found by a match that includes the predicate
        else
            v_value := pg_catalog.format(
                'case when f."idemdb found" then t.%I else (%s)::%s end',
                v_column.attname,
                case when v_column.attgenerated operator(pg_catalog.=) '' then coalesce(v_column.made, 'null') else 'null' end,
                v_column.type
            );
        end if;
        v_list := pg_catalog.concat_ws(', ', v_list, pg_catalog.format('%s as %I', v_value, v_column.attname));
    end loop;
    if v_list is null then
        return 'false';
    end if;
    return (
        select pg_catalog.format(
            '(select %s from (select %s) as p) is not true', pg_catalog.pg_get_expr(i.indpred, i.indrelid), v_list
        )
        from pg_catalog.pg_index as i
        where i.indexrelid operator(pg_catalog.=) p_index
    );
end;
$$;

comment on function idemdb._row_outside(oid, text[], boolean) is
'Internal. SQL that is true where a row given, completed by what is stored or by defaults, lies outside of the predicate of a partial index.';

revoke all on function idemdb._row_outside(oid, text[], boolean) from public;

-- file: functions/_row_key.sql
-- The caller's search_path holds here as it does where the statements run, so that what PostgreSQL writes of an expression means
-- the same there. In the statements t is the stored row; r is the row given, whose columns are called "idemdb N" by their number
-- and its keys "idemdb kN", so that the unqualified names in expressions of an index are t's.
create function idemdb._row_key(
    p_index oid,
    out arbiter text,
    out keys text,
    out matches text,
    out key_null text,
    out ranking text
)
language plpgsql stable
as $$
declare
    v_part record;
    v_made text;
    v_stored text;
    v_given text;
    v_predicate text;
begin
    key_null := 'false';
    keys := '';
    for v_part in select * from idemdb._row_key_parts(p_index) loop
        v_made := null;
        if v_part.attname is null then
            v_made := pg_catalog.format('(%s)', pg_catalog.pg_get_indexdef(p_index, v_part.n, true));
        elsif v_part.made then
            select pg_catalog.format('(%s)', pg_catalog.pg_get_expr(d.adbin, d.adrelid)) into v_made
            from pg_catalog.pg_attrdef as d
            join pg_catalog.pg_index as i on i.indrelid operator(pg_catalog.=) d.adrelid
            where i.indexrelid operator(pg_catalog.=) p_index and d.adnum operator(pg_catalog.=) v_part.attnum;
        end if;
        v_stored := coalesce('t.' operator(pg_catalog.||) pg_catalog.quote_ident(v_part.attname), v_made);
        v_given := pg_catalog.format('r."idemdb %s"', v_part.attnum);
        if v_made is not null then
            v_given := pg_catalog.format('r."idemdb k%s"', v_part.n);
            keys := pg_catalog.format('%s, %s as "idemdb k%s"', keys, v_made, v_part.n);
        end if;
        arbiter := pg_catalog.concat_ws(', ', arbiter, coalesce(pg_catalog.quote_ident(v_part.attname), v_made));
        ranking := pg_catalog.concat_ws(', ', ranking, v_given operator(pg_catalog.||) '::pg_catalog.text');
        matches := pg_catalog.concat_ws(' and ', matches, pg_catalog.format(
            case when v_part.null_is_a_value then '(%1$s %2$s %3$s or %1$s is null and %4$s is null)' else '%1$s %2$s %3$s' end,
            v_stored, v_part.equals, pg_catalog.concat(v_given, v_part.collation), v_given
        ));
        if not v_part.null_is_a_value then
            key_null := pg_catalog.format('%s or %s is null', key_null, v_given);
        end if;
    end loop;
    select pg_catalog.pg_get_expr(i.indpred, i.indrelid) into v_predicate
    from pg_catalog.pg_index as i
    where i.indexrelid operator(pg_catalog.=) p_index;
    -- As literals: a predicate with parameters matches no partial index once the plan is a generic one.
    arbiter := pg_catalog.format('(%s)%s', arbiter, ' where ' operator(pg_catalog.||) v_predicate);
    matches := pg_catalog.concat_ws(' and ', matches, v_predicate);
end;
$$;

comment on function idemdb._row_key(oid) is
'Internal. What a natural key is, in SQL: the conflict target, the keys of the row given that are expressions, the match of a stored row t with a row given r, whether a key of r is null, and the texts by which batches put keys in order.';

revoke all on function idemdb._row_key(oid) from public;

-- file: functions/_row_index.sql
-- Only the choice is made here; what the index demands of a row is for the statements.
create function idemdb._row_index(p_table regclass, p_given text[], p_index text, p_exact boolean) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fit oid[];
    v_keys text;
    v_why text;
    v_bare text := replace(p_index, '"', '');
begin
    with uniques as (
        select
            i.indexrelid,
            c.relname,
            idemdb._row_key_columns(i.indexrelid) as columns,
            case
                when not i.indisunique then 'it is not unique'
                when not i.indimmediate then 'its constraint is deferrable, which ON CONFLICT cannot use'
                when i.indisexclusion then 'it is an exclusion constraint'
                when not i.indisvalid and t.relkind = 'p' then 'it is not valid: a partition has no attached index'
                when not i.indisvalid then 'it is not valid: its build was interrupted or is still running'
            end as unfit,
            case
                when p_index is null then null
                when c.relname = p_index or p_index = format('%s.%s', n.nspname, c.relname) then 1
                when v_bare = c.relname or v_bare = format('%s.%s', n.nspname, c.relname) then 2
                when lower(p_index) = c.relname or lower(p_index) = format('%s.%s', n.nspname, c.relname) then 3
            end as named
        from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        join pg_class as t on t.oid = i.indrelid
        join pg_namespace as n on n.oid = c.relnamespace
        where i.indrelid = p_table
    ),
    told as (
        select
            u.*,
            coalesce(
                u.unfit,
                case
                    when not u.columns <@ p_given then
                        format('%s is not given', (select min(k) from unnest(u.columns) as k where k <> all (p_given)))
                    when p_exact and not u.columns @> p_given then
                        format('%s is no column of it', (select min(g) from unnest(p_given) as g where g <> all (u.columns)))
                end
            ) as why
        from uniques as u
    ),
    meant as (
        select * from told as t
        where case when p_index is null then t.why is null else t.named = (select min(x.named) from told as x) end
    )
    select
        (select array_agg(m.indexrelid) from meant as m where m.why is null),
        (
            select string_agg(format('%I (%s)%s', t.relname, array_to_string(t.columns, ', '), ': ' || t.why), '; ' order by t.relname)
            from told as t
            where t.columns <> '{}' and (t.unfit is null or t.unfit <> 'it is not unique')
        ),
        (select min(m.why) from meant as m)
    into v_fit, v_keys, v_why;
    if cardinality(v_fit) = 1 then
        return v_fit[1];
    end if;
    raise exception '%', case
        when v_fit is not null then format('several natural keys of %s fit the columns given: %s', p_table, v_keys)
        when p_index is null then format('no natural key of %s fits the columns given: %s', p_table, coalesce(v_keys, 'it has none'))
        when v_why is not null then format('%s is no natural key for this call: %s', p_index, v_why)
        else format('%s has no unique index %s: %s', p_table, p_index, coalesce(v_keys, 'it has none'))
    end
        using errcode = 'ID006', hint = case
            when v_fit is not null then 'Name one of them as p_index.'
            when p_exact then 'Give exactly the columns of a valid unique index that is not deferrable.'
            else 'Give all columns of a valid unique index that is not deferrable, or create one.'
        end;
end;
$$;

comment on function idemdb._row_index(regclass, text[], text, boolean) is
'Internal. The unique index that a row verb works by: the one named, else the only one whose columns are all given (p_exact: and no others). ID006 if there is none, or several.';

revoke all on function idemdb._row_index(regclass, text[], text, boolean) from public;

-- file: functions/_row_tombstone.sql
-- Somebody else's comment may begin like ours.
create function idemdb._row_tombstone(p_index oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_comment text := obj_description(p_index, 'pg_class');
    v_column text;
begin
    if v_comment is null or not starts_with(v_comment, 'idemdb natural key: ') then
        return null;
    end if;
    begin
        v_column := substr(v_comment, 21)::jsonb ->> 'tombstone';
    exception
        when invalid_text_representation then
            return null;
    end;
    if v_column is not null and not exists (
        select from pg_index as i
        join pg_attribute as a on a.attrelid = i.indrelid and a.attname = v_column and a.attnum > 0 and not a.attisdropped
        where i.indexrelid = p_index and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
    ) then
        raise exception 'the comment of index % names a tombstone column "%", and there is no such timestamptz column',
            p_index::regclass, v_column
            using errcode = 'ID006', hint = 'Add the column, or write the comment again with COMMENT ON INDEX.';
    end if;
    return v_column;
end;
$$;

comment on function idemdb._row_tombstone(oid) is
'Internal. The tombstone column that the comment of a natural key''s index names, or null.';

revoke all on function idemdb._row_tombstone(oid) from public;

-- file: functions/_row_options.sql
create function idemdb._row_options(p_verb text, p_options jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_options jsonb;
    v_name text;
    v_wanted text;
    v_good boolean;
begin
    perform idemdb._check_members('p_options', p_options, case p_verb
        when 'put' then '{columns,returning,version,expect,replace}'::text[]
        when 'put_many' then '{columns,returning,version,replace}'
        when 'delete' then '{columns,returning,stub}'::text[]
        else '{columns,returning}'::text[]
    end);
    v_options := jsonb_strip_nulls(p_options);
    for v_name in select k from jsonb_object_keys(v_options) as k loop
        v_wanted := case
            when v_name in ('columns', 'returning') then 'an array of column names'
            when v_name = 'version' then 'the name of a column'
            when v_name in ('replace', 'stub') then 'true or false'
            else 'a plain value'
        end;
        v_good := case v_wanted
            when 'an array of column names' then jsonb_typeof(v_options -> v_name) = 'array'
                and not jsonb_path_exists(v_options -> v_name, '$[*] ? (@.type() != "string")')
            when 'the name of a column' then jsonb_typeof(v_options -> v_name) = 'string'
            when 'true or false' then jsonb_typeof(v_options -> v_name) = 'boolean'
            else jsonb_typeof(v_options -> v_name) in ('string', 'number', 'boolean')
        end;
        if not v_good then
            raise exception 'option % must be %, not %', v_name, v_wanted, v_options -> v_name
                using errcode = 'ID004', hint = 'Leave it out for the default.';
        end if;
    end loop;
    if v_options ? 'expect' and not v_options ? 'version' then
        raise exception 'option expect needs option version'
            using errcode = 'ID004', hint = 'Name the column that expect is the present value of, as option version.';
    end if;
    return v_options;
end;
$$;

comment on function idemdb._row_options(text, jsonb) is
'Internal. The options of a row verb without nulls; ID004 for unknown or malformed ones.';

revoke all on function idemdb._row_options(text, jsonb) from public;

-- file: functions/_row_check.sql
create function idemdb._row_check(p_table regclass, p_given text[], p_options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind "char";
    v_column record;
begin
    select c.relkind into v_kind from pg_class as c where c.oid = p_table;
    if v_kind is null or v_kind not in ('r', 'p') then
        raise exception '% is no table', coalesce(p_table::text, 'null')
            using errcode = 'ID004', hint = 'Rows are written to tables, partitioned ones too, and not through views or to foreign tables.';
    elsif exists (select from pg_rewrite as r where r.ev_class = p_table) then
        raise exception 'table % has rules, which ON CONFLICT does not work with', p_table
            using errcode = 'ID004', hint = 'Use a trigger instead of the rule.';
    end if;
    for v_column in
        select g.name, a.attname, a.attgenerated, a.attidentity
        from unnest(p_given) as g (name)
        left join pg_attribute as a on a.attrelid = p_table and a.attname = g.name and a.attnum > 0 and not a.attisdropped
        order by a.attnum nulls first, g.name
    loop
        if v_column.attname is null or v_column.attgenerated <> '' or v_column.attidentity = 'a'
            or p_options ? 'columns' and not (p_options -> 'columns') ? v_column.name
        then
            raise exception '%', case
                when v_column.attname is null then format('table %s has no column "%s"', p_table, v_column.name)
                when v_column.attgenerated <> '' then format('column "%s" of %s is generated', v_column.name, p_table)
                when v_column.attidentity = 'a' then format('column "%s" of %s is generated always', v_column.name, p_table)
                else format('column "%s" of %s is not allowed', v_column.name, p_table)
            end
                using errcode = 'ID004', hint = 'Leave it out, or correct its name; option columns says which are allowed.';
        end if;
    end loop;
    for v_column in
        select o.name
        from (
            select jsonb_array_elements_text(p_options -> 'returning') as name
            union all
            select jsonb_array_elements_text(p_options -> 'columns')
            union all
            select p_options ->> 'version'
        ) as o
        where o.name is not null and not exists (
            select from pg_attribute as a where a.attrelid = p_table and a.attname = o.name and a.attnum > 0 and not a.attisdropped
        )
    loop
        raise exception 'table % has no column "%", which an option names', p_table, v_column.name
            using errcode = 'ID004', hint = 'Correct the name in option columns, returning or version.';
    end loop;
    if p_options ->> 'version' <> all (p_given) then
        raise exception 'the row has no column "%", which option version names', p_options ->> 'version'
            using errcode = 'ID004', hint = 'Give the version of the row with it.';
    end if;
end;
$$;

comment on function idemdb._row_check(regclass, text[], jsonb) is
'Internal. Raises ID004 for what is no table, and for columns that cannot or must not be given.';

revoke all on function idemdb._row_check(regclass, text[], jsonb) from public;

-- file: functions/_row_check_rights.sql
-- PostgreSQL would refuse too, without a word about the option that helps.
create function idemdb._row_check_rights(p_table regclass, p_read text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_column text;
begin
    select min(a.attname) into v_column
    from pg_attribute as a
    where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and (p_read is null or a.attname = any (p_read))
        and not has_column_privilege(p_table, a.attnum, 'select');
    if v_column is not null then
        raise exception 'permission denied to read column "%" of table %', v_column, p_table
            using errcode = 'insufficient_privilege',
            hint = 'Columns given, those of the natural key and those of the record are read: grant SELECT on them, or name the columns of the record in option returning.';
    end if;
end;
$$;

comment on function idemdb._row_check_rights(regclass, text[]) is
'Internal. Raises 42501 with a HINT where the caller may not read columns that a row verb reads (null: all).';

revoke all on function idemdb._row_check_rights(regclass, text[]) from public;

-- file: functions/_row_columns.sql
-- With option replace a column goes back to its default if that says what the row is, and not when or as which it was born:
-- clocks, sequences, random values and primary keys stay, or a repeat would never find the row unchanged.
create function idemdb._row_columns(
    p_table regclass,
    p_given text[],
    p_index oid,
    p_options jsonb,
    out attnum smallint,
    out attname text,
    out type text,
    out given boolean,
    out key boolean,
    out value text,
    out set_to text,
    out differ text
)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with told as (
        select
            a.attnum,
            a.attname::text as attname,
            a.atttypid,
            idemdb._row_type(a.atttypid, a.atttypmod) as type,
            a.attname = any (p_given) as given,
            k.key,
            d.made
        from pg_attribute as a
        cross join lateral (
            select a.attname = any (idemdb._row_key_columns(p_index))
                or exists (select from idemdb._row_key_parts(p_index) as x where x.attnum = a.attnum) as key
        ) as k
        left join lateral (
            select coalesce(pg_get_expr(x.adbin, x.adrelid), 'null') as made
            from (select a.atthasdef) as h
            left join pg_attrdef as x on x.adrelid = a.attrelid and x.adnum = a.attnum
            where (p_options ->> 'replace')::boolean and a.attname <> all (p_given) and not k.key
                and a.attgenerated = '' and a.attidentity = ''
                and a.attname is distinct from idemdb._row_tombstone(p_index)
                and coalesce(p_options -> 'columns' ? a.attname::text, true)
                and not exists (
                    select from pg_index as i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any (i.indkey::int2[])
                )
                and coalesce(x.adbin::text, '') !~ '\{(SQLVALUEFUNCTION|NEXTVALUEEXPR) '
                and not exists (
                    select from regexp_matches(x.adbin::text, ':(funcid|opno) (\d+) ', 'g') as f (found)
                    left join pg_operator as o on f.found[1] = 'opno' and o.oid = f.found[2]::oid
                    join pg_proc as p on p.oid = coalesce(o.oprcode::oid, f.found[2]::oid)
                    where p.provolatile <> 'i'
                )
        ) as d on true
        where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
    )
    select
        t.attnum,
        t.attname,
        t.type,
        t.given,
        t.key,
        v.value,
        case when t.given and not t.key then v.value when t.made is not null then 'default' end,
        case when v.value is not null then idemdb._row_differ(format('t.%I', t.attname), v.value, t.atttypid, t.key) end
    from told as t
    cross join lateral (
        select case
            when t.given then format('r."idemdb %s"', t.attnum)
            when t.made is not null then format('(%s)::%s', t.made, t.type)
        end as value
    ) as v
    order by t.attnum
$$;

comment on function idemdb._row_columns(regclass, text[], oid, jsonb) is
'Internal. The columns of a table in the statements of a row verb: their type, whether they are given, the value that the row should have (null: it keeps its own), what a put sets them to (null: nothing), SQL that is true where the stored value is another one.';

revoke all on function idemdb._row_columns(regclass, text[], oid, jsonb) from public;

-- file: functions/_row_table.sql
-- Of a table with plain children only its own rows are meant: its unique index does not reach theirs.
create function idemdb._row_table(
    p_table regclass, out name text, out scan text, out triggers boolean, out guarded boolean
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select
        format('%I.%I', n.nspname, c.relname),
        format('%s%I.%I', case when c.relkind = 'p' then '' else 'only ' end, n.nspname, c.relname),
        -- Partitions may have their own.
        c.relkind = 'p' or exists (
            select from pg_trigger as g
            where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 3 = 3
        ),
        exists (select from pg_index as i where i.indrelid = c.oid and i.indislive and not i.indisvalid)
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = p_table
$$;

comment on function idemdb._row_table(regclass) is
'Internal. A table in SQL, as a target and to read from; whether it has BEFORE ROW triggers, and an index that is not valid (yet).';

revoke all on function idemdb._row_table(regclass) from public;

-- file: functions/_row_version.sql
-- A row without a version is older than any.
create function idemdb._row_version(
    p_table regclass, p_options jsonb,
    out given text, out newer text, out expected text, out definition text, out name text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_column pg_attribute;
    v_type text;
    v_greater text;
begin
    if not p_options ? 'version' then
        return;
    end if;
    select * into v_column from pg_attribute as a where a.attrelid = p_table and a.attname = p_options ->> 'version';
    v_greater := idemdb._row_operator(v_column.atttypid, 5::smallint);
    if v_greater is null then
        raise exception 'column "%" has no order, so that it cannot be a version', v_column.attname
            using errcode = 'ID004', hint = 'Take a number or a time as option version.';
    end if;
    v_type := idemdb._row_type(v_column.atttypid, v_column.atttypmod);
    given := format('r."idemdb %s"', v_column.attnum);
    newer := format('(t.%1$I is null or %2$s %3$s t.%1$I)', v_column.attname, given, v_greater);
    if p_options ? 'expect' then
        expected := 'not ' || idemdb._row_differ(format('t.%I', v_column.attname), 'r."idemdb expect"', v_column.atttypid, false);
        definition := format(', "idemdb expect" %s', v_type);
        name := ', "idemdb expect"';
    end if;
end;
$$;

comment on function idemdb._row_version(regclass, jsonb) is
'Internal. Options version and expect in SQL: the version given, the conditions that it is greater than the stored one and that the stored one is as expected, the definition of the latter as a column; nulls without these options.';

revoke all on function idemdb._row_version(regclass, jsonb) from public;

-- file: functions/_row_one.sql
create function idemdb._row_one(p_index oid, p_guarded boolean, p_piece idemdb._row_pieces) returns idemdb._row_plan
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_plan idemdb._row_plan;
    v_deletes constant boolean := p_piece.verb = 'delete';
    v_answer constant text := '1, %L, %s, %s, null::pg_catalog.jsonb';
    v_none constant text := 'null::pg_catalog.jsonb';
    v_same constant text := '''{}''::pg_catalog.text[]';
begin
    v_plan.index_oid := p_index;
    v_plan.guarded := p_guarded;
    v_plan.triggers := p_piece.triggers;
    v_plan.read_sql := format(
        'select 1, %s, case when f."idemdb found" then %s end, case when f."idemdb found" then %s else %s end, null::pg_catalog.jsonb '
        'from %s left join (%s as t cross join (select true) as f ("idemdb found")) on %s',
        p_piece.verdict, case when v_deletes then v_none else p_piece.record end,
        case when v_deletes then v_same else p_piece.differs end, v_same, p_piece.source, p_piece.scan, p_piece.matches
    );
    v_plan.insert_sql := format(
        'insert into %s as t (%s%s) select %s%s from %s on conflict %s do nothing returning %s',
        p_piece.target,
        p_piece.names, case when v_deletes then ', ' || p_piece.tombstone end,
        p_piece.given, case when v_deletes then ', pg_catalog.clock_timestamp()' end,
        p_piece.source, p_piece.arbiter,
        case
            when v_deletes then format(v_answer, 'absent', v_none, v_same)
            -- What is inserted is what was given, unless a trigger changes it.
            when p_piece.triggers then format(v_answer, 'created', p_piece.record, format('(select %s from %s)', p_piece.differs, p_piece.source))
            else format(v_answer, 'created', p_piece.record, v_same)
        end
    );
    v_plan.update_sql := case
        when v_deletes and p_piece.tombstone is null then format(
            'delete from %s as t using %s where %s returning %s',
            p_piece.scan, p_piece.source, p_piece.guard, format(v_answer, 'deleted', v_none, v_same)
        )
        else format(
            'update %s as t set %s from %s where %s returning %s',
            p_piece.scan,
            case when v_deletes then p_piece.tombstone || ' = pg_catalog.clock_timestamp()' else p_piece.set_list end,
            p_piece.source, p_piece.guard,
            case
                when v_deletes then format(v_answer, 'deleted', p_piece.record, v_same)
                else format(v_answer, 'updated', p_piece.record, p_piece.differs)
            end
        )
    end;
    v_plan.rank_sql := format('select array[%s]::text[] from %s', p_piece.ranking, p_piece.source);
    return v_plan;
end;
$$;

comment on function idemdb._row_one(oid, boolean, idemdb._row_pieces) is
'Internal. The statements of a row verb for one row: read_sql (its outcome, or what is to do: insert, update, or why it is refused), insert_sql, update_sql (which may be a DELETE). These two give no row where another transaction was faster. rank_sql: the texts of the row''s key, by which a batch is put in order.';

revoke all on function idemdb._row_one(oid, boolean, idemdb._row_pieces) from public;

-- file: functions/_row_sql.sql
-- All SQL of the row verbs is built here, from names that PostgreSQL quotes and from its own words for expressions; values come
-- as parameters. t is the stored row, f says whether there is one, r is the row given: its columns are called "idemdb N" by
-- their number, so that unqualified names in an expression of the index are t's. $1 is the row, with a member "idemdb expect"
-- for that option. Longer than most, because nothing here can be read without the rest.
create function idemdb._row_sql(
    p_verb text, p_table regclass, p_given text[], p_index text, p_options jsonb
) returns idemdb._row_plan
language plpgsql stable
as $$
declare
    v_deletes constant boolean := p_verb operator(pg_catalog.=) 'delete';
    v_index pg_catalog.oid;
    v_piece idemdb._row_pieces;
    v_key record;
    v_table record;
    v_version record;
    v_columns record;
    v_rows pg_catalog.text;
    v_differ pg_catalog.text;
    v_absent pg_catalog.text := '''insert''';
begin
    perform idemdb._row_check(p_table, p_given, p_options);
    v_index := idemdb._row_index(p_table, p_given, p_index, v_deletes);
    v_table := idemdb._row_table(p_table);
    v_key := idemdb._row_key(v_index);
    v_version := idemdb._row_version(p_table, p_options);
    v_piece.verb := p_verb;
    v_piece.target := v_table.name;
    v_piece.scan := v_table.scan;
    v_piece.triggers := v_table.triggers;
    v_piece.arbiter := v_key.arbiter;
    v_piece.matches := v_key.matches;
    v_piece.ranking := v_key.ranking;
    v_piece.tombstone := pg_catalog.quote_ident(idemdb._row_tombstone(v_index));

    select
        pg_catalog.string_agg(pg_catalog.format('%I %s', c.attname, c.type), ', ') filter (where c.given) as definitions,
        pg_catalog.string_agg(pg_catalog.quote_ident(c.attname), ', ') filter (where c.given) as names,
        pg_catalog.string_agg(pg_catalog.format('r.%I as "idemdb %s"', c.attname, c.attnum), ', ') filter (where c.given) as aliases,
        pg_catalog.string_agg(c.value, ', ') filter (where c.given) as given,
        pg_catalog.string_agg(pg_catalog.format('case when %s then %L end', c.differ, c.attname), ', ') filter (where c.given) as differs,
        pg_catalog.string_agg(c.differ, ' or ') filter (where c.set_to is not null) as differ,
        pg_catalog.string_agg(pg_catalog.format('%I = %s', c.attname, c.set_to), ', ') filter (where c.set_to is not null) as set_list,
        pg_catalog.array_agg(c.attname) filter (where c.given or c.key) as reads
    into v_columns
    from idemdb._row_columns(p_table, p_given, v_index, p_options) as c;
    perform idemdb._row_check_rights(p_table, case when p_options operator(pg_catalog.?) 'returning' or v_deletes and v_piece.tombstone is null
        then v_columns.reads operator(pg_catalog.||) array(select pg_catalog.jsonb_array_elements_text(p_options operator(pg_catalog.->) 'returning'))
    end);

    v_rows := pg_catalog.format('pg_catalog.jsonb_to_record($1) as r (%s%s)', v_columns.definitions, v_version.definition);
    v_piece.source := pg_catalog.format(
        '(select %s%s%s from %s) as r', v_columns.aliases, v_version.name, v_key.keys, v_rows
    );
    v_piece.names := v_columns.names;
    v_piece.given := v_columns.given;
    v_piece.set_list := v_columns.set_list;
    v_piece.differs := pg_catalog.format('pg_catalog.array_remove(array[%s]::pg_catalog.text[], null)', v_columns.differs);
    v_differ := coalesce(v_columns.differ, 'false');
    v_piece.record := 'pg_catalog.to_jsonb(t.*)';
    if p_options operator(pg_catalog.?) 'returning' then
        v_piece.record := pg_catalog.format(
            '(select pg_catalog.to_jsonb(x.*) from (select %s) as x)',
            (
                select pg_catalog.string_agg(pg_catalog.format('t.%I', o.name), ', ')
                from (select distinct pg_catalog.jsonb_array_elements_text(p_options operator(pg_catalog.->) 'returning') as name) as o
            )
        );
    end if;
    v_piece.guard := pg_catalog.concat_ws(' and ', v_piece.matches, 't.' operator(pg_catalog.||) v_piece.tombstone operator(pg_catalog.||) ' is null');

    if v_deletes then
        v_absent := case when (p_options operator(pg_catalog.->>) 'stub')::boolean then '''insert''' else '''absent''' end;
        if v_piece.tombstone is null and (p_options operator(pg_catalog.->>) 'stub')::boolean then
            raise exception 'option stub needs a natural key with a tombstone column'
                using errcode = 'ID004', hint = 'Without one an absent row leaves nothing behind.';
        end if;
    elsif p_verb operator(pg_catalog.=) 'put' then
        v_piece.guard := pg_catalog.concat_ws(' and ', v_piece.guard, pg_catalog.format('(%s)', v_differ), v_version.expected, v_version.newer);
        v_absent := case when v_version.expected is null then '''insert''' else '''stale''' end;
    end if;
    v_piece.verdict := pg_catalog.concat(
        'case when ', v_key.key_null, ' then ''null key''',
        ' when ', idemdb._row_outside(v_index, p_given, v_deletes), ' then ''outside''',
        ' when ' operator(pg_catalog.||) v_version.given operator(pg_catalog.||) ' is null then ''no version''',
        ' when f."idemdb found" is null then ', v_absent,
        ' when t.' operator(pg_catalog.||) v_piece.tombstone operator(pg_catalog.||)
        case when v_deletes then ' is not null then ''absent''' else ' is not null then ''gone''' end,
        case when p_verb operator(pg_catalog.=) 'put' then pg_catalog.format(' when not (%s) then ''unchanged''', v_differ) end,
        ' when (' operator(pg_catalog.||) pg_catalog.concat_ws(' and ', v_version.expected, v_version.newer)
        operator(pg_catalog.||) case when v_version.newer is not null then ') is not true then ''stale''' end,
        case when p_verb operator(pg_catalog.=) 'create' then ' else ''existing'' end' else ' else ''update'' end' end
    );
    return idemdb._row_one(v_index, v_table.guarded, v_piece);
end;
$$;

comment on function idemdb._row_sql(text, regclass, text[], text, jsonb) is
'Internal. The statements of a row verb for a table, the columns given, a natural key and options that _row_options() has read; ID004, ID006, 42501 with the reason where there can be none.';

revoke all on function idemdb._row_sql(text, regclass, text[], text, jsonb) from public;

-- file: functions/_row_refuse.sql
create function idemdb._row_refuse(p_why text, p_table regclass, p_index oid, p_row jsonb, p_item integer default null)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_which text := case when p_item is null then 'the row' else format('row %s of the batch', p_item) end;
    v_key text := array_to_string(idemdb._row_key_columns(p_index), ', ');
begin
    if p_table is null then
        raise exception 'the table is null' using errcode = 'ID004', hint = 'Name the table: ''app.users''.';
    elsif p_why = 'no object' then
        raise exception '% must be a JSON object, not %', v_which, coalesce(jsonb_typeof(p_row), 'null')
            using errcode = 'ID004', hint = 'Its members are columns and their values: {"email": "ada@example.org"}.';
    elsif p_why = 'null key' then
        raise exception '% has a null in its natural key % (%)', v_which, p_index::regclass, v_key
            using errcode = 'ID004',
            hint = 'Nulls are never equal to each other; give all columns of the key, or make the index NULLS NOT DISTINCT.';
    elsif p_why = 'outside' then
        raise exception '% lies outside of the predicate of natural key %', v_which, p_index::regclass
            using errcode = 'ID004',
            hint = 'The partial unique index says nothing about such rows; write them with INSERT or UPDATE, or use another natural key.';
    end if;
    raise exception '% has no version', v_which
        using errcode = 'ID004', hint = 'The column that option version names must not be null.';
end;
$$;

comment on function idemdb._row_refuse(text, regclass, oid, jsonb, integer) is
'Internal. Raises ID004 for a row that a row verb refuses.';

revoke all on function idemdb._row_refuse(text, regclass, oid, jsonb, integer) from public;

-- file: functions/_row_give_up.sql
-- A row that the index knows and nobody sees is hidden by row-level security; repeating the transaction would never end.
create function idemdb._row_give_up(p_table regclass, p_step text, p_always boolean, p_triggers boolean) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if row_security_active(p_table) then
        raise exception 'a row of % with this natural key exists, and row-level security hides it or refuses its change', p_table
            using errcode = 'insufficient_privilege',
            hint = 'Put what the policies compare (a tenant) into the natural key, or call as a role that may see and write the row.';
    elsif p_always and p_triggers then
        raise exception 'every % of a row with this natural key in % came to nothing', p_step, p_table
            using errcode = 'ID006',
            hint = 'A BEFORE trigger changes the columns of the natural key, or suppresses the row: give the key as it will be stored.';
    end if;
    raise exception 'a row of % with this natural key came and went while it was being written', p_table
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb._row_give_up(regclass, text, boolean, boolean) is
'Internal. Raises 42501, ID006 or 40001 where a row could neither be found nor written; p_always: the same step came to nothing every time.';

revoke all on function idemdb._row_give_up(regclass, text, boolean, boolean) from public;

-- file: functions/_row_guarded.sql
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

-- file: functions/_row_apply.sql
-- Read, then insert, then update, each a statement of its own with its own snapshot; whatever another transaction does in
-- between, the next round sees.
create function idemdb._row_apply(
    p_table regclass, p_plan idemdb._row_plan, p_row jsonb, p_expect jsonb, p_item integer default null
) returns idemdb.row_result
language plpgsql
as $$
declare
    v_row constant pg_catalog.jsonb := case
        when p_expect is null then p_row
        else p_row operator(pg_catalog.||) pg_catalog.jsonb_build_object('idemdb expect', p_expect)
    end;
    v_answer idemdb.row_result;
    v_step pg_catalog.text;
    v_statement pg_catalog.text;
    v_always boolean := true;
begin
    for v_try in 1..5 loop
        execute p_plan.read_sql into v_answer using v_row;
        if not v_answer.outcome operator(pg_catalog.=) any ('{insert,update}') then
            if v_answer.outcome operator(pg_catalog.=) any ('{null key,outside,no version}') then
                perform idemdb._row_refuse(v_answer.outcome, p_table, p_plan.index_oid, p_row, p_item);
            end if;
            return v_answer;
        end if;
        v_always := v_always and coalesce(v_step operator(pg_catalog.=) v_answer.outcome, true);
        v_step := v_answer.outcome;
        v_statement := case when v_step operator(pg_catalog.=) 'insert' then p_plan.insert_sql else p_plan.update_sql end;
        if v_try operator(pg_catalog.=) 1 then
            perform idemdb._check_writable(pg_catalog.concat('write to ', p_table));
        end if;
        if p_plan.guarded then
            v_answer := idemdb._row_guarded(v_statement, v_row);
        else
            execute v_statement into v_answer using v_row;
        end if;
        if v_answer.outcome is not null then
            return v_answer;
        end if;
    end loop;
    perform idemdb._row_give_up(p_table, v_step, v_always, p_plan.triggers);
end;
$$;

comment on function idemdb._row_apply(regclass, idemdb._row_plan, jsonb, jsonb, integer) is
'Internal. Carries out the plan of a row verb for one row; p_item: its position in a batch.';

revoke all on function idemdb._row_apply(regclass, idemdb._row_plan, jsonb, jsonb, integer) from public;

-- file: functions/_row_write.sql
create function idemdb._row_write(p_verb text, p_table regclass, p_row jsonb, p_index text, p_options jsonb)
returns idemdb.row_result
language plpgsql
as $$
declare
    v_options pg_catalog.jsonb;
begin
    if not coalesce(pg_catalog.jsonb_typeof(p_row) operator(pg_catalog.=) 'object' and p_table is not null, false) then
        perform idemdb._row_refuse('no object', p_table, null, p_row);
    end if;
    if p_options is not null then
        v_options := idemdb._row_options(p_verb, p_options);
    end if;
    return idemdb._row_apply(
        p_table,
        idemdb._row_sql(
            p_verb, p_table, array(select pg_catalog.jsonb_object_keys(p_row)), p_index, coalesce(v_options, '{}')
        ),
        p_row, v_options operator(pg_catalog.->) 'expect'
    );
end;
$$;

comment on function idemdb._row_write(text, regclass, jsonb, text, jsonb) is
'Internal. create(), put() and delete() of one row.';

revoke all on function idemdb._row_write(text, regclass, jsonb, text, jsonb) from public;

-- file: functions/_row_write_many.sql
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

-- file: functions/create.sql
create function idemdb.create(p_table regclass, p_row jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('create', p_table, p_row, p_index, p_options);

comment on function idemdb.create(regclass, jsonb, text, jsonb) is
'Create a row of a table of yours unless one with its natural key exists, and return the row that is there now. Runs with the caller''s rights.

p_row: the columns and their values; the others get their defaults. p_index: the unique index that is the natural key; by default the only one whose columns are all given. p_options: columns (the only ones that may be given), returning (the columns of record).
Outcomes: created (differs names what triggers changed); existing (nothing was written; differs names given columns whose stored value is another one); gone (deleted, and a tombstone is left).
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.create(regclass, jsonb, text, jsonb) from public;

-- file: functions/put.sql
create function idemdb.put(p_table regclass, p_row jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('put', p_table, p_row, p_index, p_options);

comment on function idemdb.put(regclass, jsonb, text, jsonb) is
'Make a row of a table of yours, found by its natural key, have the values given: create it or change it, and write nothing if it has them already. Runs with the caller''s rights.

p_row: the columns to set; the others keep their value, or get their default in a new row; columns of the natural key are never set. p_index: the unique index that is the natural key; by default the only one whose columns are all given. p_options: columns (the only ones that may be given), returning (the columns of record), version (a column: only a greater value than the stored one wins), expect (the version that must be stored now), replace (true: columns not given go back to their default, but for primary keys, identities, and defaults that are not constant).
Outcomes: created; updated; unchanged (nothing was written); stale (version or expect forbid it; nothing was written, and record is null where there is no row); gone (deleted, and a tombstone is left). differs names given columns whose stored value is another one.
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.put(regclass, jsonb, text, jsonb) from public;

-- file: functions/delete.sql
create function idemdb.delete(p_table regclass, p_key jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('delete', p_table, p_key, p_index, p_options);

comment on function idemdb.delete(regclass, jsonb, text, jsonb) is
'Delete a row of a table of yours, found by its natural key; where the key has a tombstone column, set that instead, so that no late create() or put() brings the row back. Runs with the caller''s rights.

p_key: exactly the columns of the natural key. p_index: the unique index that is the natural key; by default the only one with just these columns. p_options: columns (the only ones that may be given), returning (the columns of record), stub (true: deleting an absent row leaves a tombstone).
Outcomes: deleted (record: the row with its tombstone, null where it was removed); absent (it was deleted before, or never was).
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.delete(regclass, jsonb, text, jsonb) from public;

-- file: functions/create_many.sql
create function idemdb.create_many(
    p_table regclass, p_rows jsonb, p_index text default null, p_options jsonb default null
) returns setof idemdb.row_result
language sql
begin atomic
select
    item,
    outcome,
    record,
    differs,
    details
from idemdb._row_write_many('create', p_table, p_rows, p_index, p_options);
end;

comment on function idemdb.create_many(regclass, jsonb, text, jsonb) is
'Create the rows of a batch that do not exist, as create() does, and answer for each position. Runs with the caller''s rights.

p_rows: an array of rows; they may have different columns. p_index, p_options: as for create(). Rows are written in the order of their keys, so that two batches never deadlock on them. Of a repeated key the first is created and the others are existing.
Outcomes, with item (position from 1): created, existing, gone.
Errors: as create(); one row that is refused takes the whole batch back.';

revoke all on function idemdb.create_many(regclass, jsonb, text, jsonb) from public;

-- file: functions/put_many.sql
create function idemdb.put_many(
    p_table regclass, p_rows jsonb, p_index text default null, p_options jsonb default null
) returns setof idemdb.row_result
language sql
begin atomic
select
    item,
    outcome,
    record,
    differs,
    details
from idemdb._row_write_many('put', p_table, p_rows, p_index, p_options);
end;

comment on function idemdb.put_many(regclass, jsonb, text, jsonb) is
'Make the rows of a batch have the values given, as put() does, and answer for each position. Runs with the caller''s rights.

p_rows: an array of rows; they may have different columns. p_index, p_options: as for put(), without expect. Rows are written in the order of their keys, so that two batches never deadlock on them. Of a repeated key the last is written; the others are unchanged where they say the same as the row that is then stored, else stale.
Outcomes, with item (position from 1): created, updated, unchanged, stale, gone.
Errors: as put(); one row that is refused takes the whole batch back.';

revoke all on function idemdb.put_many(regclass, jsonb, text, jsonb) from public;

-- file: functions/version.sql
create or replace function idemdb.version() returns integer
language sql immutable parallel safe
return 3;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;
