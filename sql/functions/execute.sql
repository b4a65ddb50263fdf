-- Runs with the caller's rights and search_path, as does the function that it calls; only _execute_begin and _execute_end
-- touch idemdb's tables.
create function idemdb.execute(
    p_scope text,
    p_key text,
    p_function text,
    p_args jsonb,
    p_wait interval default null,
    p_options jsonb default null
) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_fingerprint bytea := case
        when p_options is null then idemdb.fingerprint(p_args)
        else idemdb.fingerprint(p_args, idemdb._execute_exclude(p_options))
    end;
    v_answer idemdb.claim_result := idemdb._execute_begin(p_scope, p_key, v_fingerprint, p_wait, p_options);
    v_detail text;
begin
    if v_answer.outcome operator(pg_catalog.<>) 'started' then
        return v_answer;
    end if;
    begin
        execute idemdb._execute_call(p_function) into v_answer.result using p_args;
    exception
        when sqlstate 'ID010' then
            -- The function's final answer although it failed: its writes are rolled back, the answer is kept.
            get stacked diagnostics v_detail = pg_exception_detail;
            v_answer := idemdb._read_answer(v_answer, v_detail);
    end;
    v_answer.completed_at := idemdb._execute_end(p_scope, p_key, v_fingerprint, p_options, v_answer);
    return v_answer;
end;
$$;

comment on function idemdb.execute(text, text, text, jsonb, interval, jsonb) is
'Run a function of yours at most once per idempotency key and replay its result, all in one call and in your transaction.

p_function: name of a function (jsonb) returns jsonb, such as ''app.pay''; it runs with the caller''s rights and is looked up only when it is to run. p_args: its argument, and what the fingerprint is of. p_options: exclude (paths left out of the fingerprint), replay_for, keep_for, raise, as in claim(). A declined card or a sold-out seat: the function raises SQLSTATE ID010 with the answer as DETAIL (JSON: status, headers, body_base64, result, reference); its writes roll back, the answer is stored. Any other error undoes everything.

Outcomes: started (it ran now), replayed, in_progress, mismatch, expired, unresolved, as in claim().
Errors: ID004 invalid argument, unknown function, or a key with a recovery point; ID007 called for its own key by the function; 25006; 40001 the key was claimed meanwhile by somebody who did not queue: repeat the transaction.';

revoke all on function idemdb.execute(text, text, text, jsonb, interval, jsonb) from public;
