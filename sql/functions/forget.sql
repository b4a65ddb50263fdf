create function idemdb.forget(p_scope text, p_key text default null) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_erased bigint;
begin
    if not idemdb._valid_key(p_scope, coalesce(p_key, 'any')) then
        perform idemdb._refuse_key(p_scope, coalesce(p_key, 'any'));
    end if;
    delete from idemdb.keys as k
    where k.scope = p_scope and (p_key is null or k.key = p_key)
        and idemdb._key_state(k, clock_timestamp(), pg_current_xact_id_if_assigned()) in ('done', 'expired');
    get diagnostics v_erased = row_count;

    insert into idemdb.audit (happened_at, actor, action, scope, key, details)
    values (
        clock_timestamp(), idemdb._actor(), 'forget', p_scope, p_key, jsonb_build_object('erased', v_erased)
    );
    return v_erased;
end;
$$;

comment on function idemdb.forget(text, text) is
'Erase finished keys of a scope and their answers, for example because a person asked to be forgotten (for idemdb_admin).

p_key null: every finished key of the scope. Running, abandoned, unresolved and released keys stay. Leaves an audit row. A request repeated later runs again. Returns how many keys were erased.
Errors: ID004 invalid argument.';

revoke all on function idemdb.forget(text, text) from public;
