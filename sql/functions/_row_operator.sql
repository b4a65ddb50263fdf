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
