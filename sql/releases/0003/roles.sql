-- The three roles, and what each may do. Idempotent: run again after every upgrade. Roles belong to the whole cluster, so ones
-- that exist are used and none is ever dropped.
do $$
declare
    v_role text;
begin
    foreach v_role in array '{idemdb_user,idemdb_admin,idemdb_reader}'::text[] loop
        continue when exists (select from pg_catalog.pg_roles as r where r.rolname = v_role);
        begin
            execute pg_catalog.format('create role %I nologin', v_role);
        exception
            when duplicate_object or unique_violation then
                null; -- another database of this cluster was faster
            when insufficient_privilege then
                raise exception 'role "%" does not exist and % may not create it', v_role, current_user
                    using errcode = 'insufficient_privilege',
                    hint = 'Have an administrator run: create role idemdb_user nologin; create role idemdb_admin nologin; create role idemdb_reader nologin; then install again. Or install without roles and grant by hand.';
        end;
    end loop;
end;
$$;

grant usage on schema idemdb to idemdb_user, idemdb_admin, idemdb_reader;

grant execute on function
    idemdb.claim(text, text, bytea, interval, interval, jsonb),
    idemdb.complete(text, text, bigint, integer, jsonb, bytea, jsonb, text),
    idemdb.checkpoint(text, text, bigint, text, jsonb, interval),
    idemdb.renew(text, text, bigint, interval),
    idemdb.release(text, text, bigint, text),
    idemdb.lookup(text, text),
    idemdb.execute(text, text, text, jsonb, interval, jsonb),
    idemdb.fingerprint(jsonb, text[]),
    idemdb.process(text, text, timestamptz),
    idemdb.process_many(text, text[], timestamptz[]),
    idemdb.process_failed(text, text, text),
    idemdb.process_offsets(text, text, bigint[], bigint),
    idemdb.advance(text, text, bigint),
    idemdb.outbox_add(text, text, jsonb, jsonb, text, timestamptz),
    idemdb.outbox_take(text, integer, interval),
    idemdb.outbox_done(text, bigint, bigint[]),
    idemdb.outbox_retry(text, bigint, bigint, interval, text),
    idemdb.create(regclass, jsonb, text, jsonb),
    idemdb.put(regclass, jsonb, text, jsonb),
    idemdb.delete(regclass, jsonb, text, jsonb),
    idemdb.create_many(regclass, jsonb, text, jsonb),
    idemdb.put_many(regclass, jsonb, text, jsonb)
to idemdb_user, idemdb_admin;

-- Called by the row verbs with the caller's rights.
grant execute on function
    idemdb._row_type(oid, integer),
    idemdb._row_operator(oid, smallint),
    idemdb._row_differ(text, text, oid, boolean),
    idemdb._row_key_parts(oid),
    idemdb._row_key_columns(oid),
    idemdb._row_predicate_columns(oid),
    idemdb._row_outside(oid, text[], boolean),
    idemdb._row_key(oid),
    idemdb._row_index(regclass, text[], text, boolean),
    idemdb._row_tombstone(oid),
    idemdb._row_options(text, jsonb),
    idemdb._row_check(regclass, text[], jsonb),
    idemdb._row_check_rights(regclass, text[]),
    idemdb._row_columns(regclass, text[], oid, jsonb),
    idemdb._row_table(regclass),
    idemdb._row_version(regclass, jsonb),
    idemdb._row_one(oid, boolean, idemdb._row_pieces),
    idemdb._row_sql(text, regclass, text[], text, jsonb),
    idemdb._row_refuse(text, regclass, oid, jsonb, integer),
    idemdb._check_writable(text),
    idemdb._row_give_up(regclass, text, boolean, boolean),
    idemdb._row_guarded(text, jsonb),
    idemdb._row_apply(regclass, idemdb._row_plan, jsonb, jsonb, integer),
    idemdb._row_write(text, regclass, jsonb, text, jsonb),
    idemdb._row_write_many(text, regclass, jsonb, text, jsonb)
to idemdb_user, idemdb_admin;

-- Called by execute with the caller's rights.
grant execute on function
    idemdb._execute_exclude(jsonb),
    idemdb._execute_begin(text, text, bytea, interval, jsonb),
    idemdb._execute_call(text),
    idemdb._execute_end(text, text, bytea, jsonb, idemdb.claim_result),
    idemdb._check_members(text, jsonb, text[]),
    idemdb._read_answer(idemdb.claim_result, text)
to idemdb_user, idemdb_admin;

grant execute on function
    idemdb.resolve(text, text, text, text, jsonb),
    idemdb.configure(text, text, jsonb),
    idemdb.sweep(integer),
    idemdb.forget(text, text),
    idemdb.dead_letter(text, text, text, text)
to idemdb_admin;

-- Called by the views with the reader's rights.
grant execute on function
    idemdb.version(),
    idemdb._claimed_at(bigint),
    idemdb._created_at(idemdb.keys),
    idemdb._key_state(idemdb.keys, timestamptz, xid8),
    idemdb._consumer_hash(text),
    idemdb._default_settings(text)
to idemdb_user, idemdb_admin, idemdb_reader;

grant select on
    idemdb.key_overview, idemdb.unresolved, idemdb.event_overview, idemdb.outbox_overview, idemdb.dead_letters
to idemdb_reader, idemdb_admin;

grant select on
    idemdb.keys, idemdb.settings, idemdb.sweep_cursor, idemdb.audit, idemdb.inbox, idemdb.event_failures, idemdb.streams,
    idemdb.entity_versions, idemdb.outbox_keys, idemdb.outbox_messages
to idemdb_admin;
