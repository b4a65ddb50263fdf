create function idemdb._mismatch(p_scope text, p_key text, p_raises boolean) returns idemdb.claim_result
language plpgsql
as $$
declare
    v_answer idemdb.claim_result;
begin
    if p_raises then
        raise exception 'key "%" in scope "%" was used for another request', p_key, p_scope
            using errcode = 'ID002', hint = 'Send the same request again, or make a new key for a new request.';
    end if;
    v_answer.outcome := 'mismatch';
    return v_answer;
end;
$$;

comment on function idemdb._mismatch(text, text, boolean) is
'Internal. The answer to another request under a known key, which tells nothing of the first; ID002 with option raise.';

revoke all on function idemdb._mismatch(text, text, boolean) from public;
