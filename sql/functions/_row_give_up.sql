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
