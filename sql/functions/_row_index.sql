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
