create function idemdb._execute_begin(
    p_scope text, p_key text, p_fingerprint bytea, p_wait interval, p_options jsonb
) returns idemdb.claim_result
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer idemdb.claim_result := idemdb._admit(
        p_scope, p_key, p_fingerprint, null, p_wait, p_options - 'exclude', p_run => true
    );
begin
    if v_answer.outcome = 'started' then
        perform set_config(
            'idemdb.executing',
            concat(
                current_setting('idemdb.executing', true),
                idemdb._execution(idemdb._key_lock(p_scope, p_key), p_fingerprint)
            ),
            true
        );
    end if;
    return v_answer;
end;
$$;

comment on function idemdb._execute_begin(text, text, bytea, interval, jsonb) is
'Internal. First half of execute(): started means that the function is to run now.';

revoke all on function idemdb._execute_begin(text, text, bytea, interval, jsonb) from public;
