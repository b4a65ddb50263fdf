create function idemdb.advance(p_consumer text, p_entity text, p_version bigint) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version bigint;
begin
    perform idemdb._check_names('consumer', p_consumer, 'entity', p_entity);
    if p_version is null then
        raise exception 'the version is null' using errcode = 'ID004', hint = 'Pass the number that grows with every change.';
    end if;
    for v_try in 1..5 loop
        select v.version into v_version from idemdb.entity_versions as v
        where v.consumer = p_consumer and v.entity = p_entity;
        if v_version >= p_version then
            return 'stale';
        end if;
        perform idemdb._check_writable('advance an entity');
        if v_version is not null then
            update idemdb.entity_versions as v set version = p_version, advanced_at = clock_timestamp()
            where v.consumer = p_consumer and v.entity = p_entity and v.version < p_version;
        else
            perform idemdb._settings_of('consumer', p_consumer);
            insert into idemdb.entity_versions (version, advanced_at, consumer, entity)
            values (p_version, clock_timestamp(), p_consumer, p_entity) on conflict (consumer, entity) do nothing;
        end if;
        if found then
            return 'applied';
        end if;
    end loop;
    raise exception 'entity "%" of consumer "%" changed too often meanwhile', p_entity, p_consumer
        using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
end;
$$;

comment on function idemdb.advance(text, text, bigint) is
'Let the newest version of an entity win: late and repeated versions are stale.

Call it in the transaction that applies the version. A transaction that is just advancing the same entity is waited for. Versions are kept for good.
Outcomes: applied (apply it), stale (an equal or newer version was applied: nothing to do, nothing was written).
Errors: ID004 invalid argument; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.advance(text, text, bigint) from public;
