-- The schema that holds everything of idemdb. It must belong to the role that installs: in a schema that somebody else
-- created, that somebody could replace our functions.
do $$
begin
    create schema if not exists idemdb;
    if not pg_catalog.pg_has_role(current_user, (
        select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'idemdb'
    ), 'usage') then
        raise exception 'schema "idemdb" belongs to another role'
            using errcode = 'insufficient_privilege',
            hint = 'Have its owner install idemdb, or run: alter schema idemdb owner to ' || quote_ident(current_user);
    end if;
end;
$$;

comment on schema idemdb is 'Idempotency enforced by PostgreSQL. Manual: \df+ idemdb.*, \dT+ idemdb.*, \dv+ idemdb.*';

revoke all on schema idemdb from public;
