-- file: functions/version.sql
create or replace function idemdb.version() returns integer
language sql immutable parallel safe
return 2;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;

drop function idemdb.put_many;

drop function idemdb.create_many;

drop function idemdb.delete;

drop function idemdb.put;

drop function idemdb.create;

drop function idemdb._row_write_many;

drop function idemdb._row_write;

drop function idemdb._row_apply;

drop function idemdb._row_guarded;

drop function idemdb._row_give_up;

drop function idemdb._row_refuse;

drop function idemdb._row_sql;

drop function idemdb._row_one;

drop function idemdb._row_version;

drop function idemdb._row_table;

drop function idemdb._row_columns;

drop function idemdb._row_check_rights;

drop function idemdb._row_check;

drop function idemdb._row_options;

drop function idemdb._row_tombstone;

drop function idemdb._row_index;

drop function idemdb._row_key;

drop function idemdb._row_outside;

drop function idemdb._row_predicate_columns;

drop function idemdb._row_key_columns;

drop function idemdb._row_key_parts;

drop function idemdb._row_differ;

drop function idemdb._row_operator;

drop function idemdb._row_type;

-- file: functions/_check_writable.sql
create or replace function idemdb._check_writable(p_what text) returns void
language plpgsql
as $$
begin
    if current_setting('transaction_read_only')::boolean then
        raise exception 'cannot % in a read-only transaction', p_what
            using errcode = 'read_only_sql_transaction',
            hint = case
                when pg_is_in_recovery() then 'Connect to the primary: this is a standby.'
                else 'Begin the transaction READ WRITE.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_writable(text) is
'Internal. Raises 25006 with a HINT in a read-only transaction and on a standby.';

revoke all on function idemdb._check_writable(text) from public;

drop type idemdb._row_pieces;

drop type idemdb._row_plan;

drop type idemdb.row_result;
