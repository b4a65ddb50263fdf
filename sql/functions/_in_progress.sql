create function idemdb._in_progress(p_scope text, p_key text, p_retry_after interval, p_raises boolean)
returns idemdb.claim_result
language plpgsql
as $$
declare
    v_answer idemdb.claim_result;
begin
    if p_raises then
        raise exception 'key "%" in scope "%" is still in progress', p_key, p_scope
            using errcode = 'ID001', detail = format('{"retry_after_ms": %s}', idemdb._milliseconds(p_retry_after)),
            hint = 'Ask again later with the same key.';
    end if;
    v_answer.outcome := 'in_progress';
    v_answer.retry_after_ms := idemdb._milliseconds(p_retry_after);
    return v_answer;
end;
$$;

comment on function idemdb._in_progress(text, text, interval, boolean) is
'Internal. The answer while somebody else holds the key; ID001 with option raise, retry_after_ms in its DETAIL.';

revoke all on function idemdb._in_progress(text, text, interval, boolean) from public;
