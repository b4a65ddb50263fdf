create function idemdb._read_answer(p_answer idemdb.claim_result, p_document text) returns idemdb.claim_result
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_document jsonb;
    v_answer idemdb.claim_result := p_answer;
begin
    begin
        v_document := p_document;
        perform idemdb._check_members('an answer', v_document, '{status,headers,body_base64,result,reference}');
        v_answer.status := v_document ->> 'status';
        v_answer.headers := nullif(v_document -> 'headers', 'null');
        v_answer.body := decode(v_document ->> 'body_base64', 'base64');
        v_answer.result := v_document -> 'result';
        v_answer.reference := v_document ->> 'reference';
    exception
        when data_exception then
            raise exception 'the answer is malformed: %', sqlerrm
                using errcode = 'ID004',
                hint = 'An answer is a JSON object: {"status": 402, "headers": {}, "body_base64": "", "result": {}, "reference": ""}.';
    end;
    return v_answer;
end;
$$;

comment on function idemdb._read_answer(idemdb.claim_result, text) is
'Internal. Fills the answer''s fields from its JSON document; ID004 where that is malformed. Null for none.';

revoke all on function idemdb._read_answer(idemdb.claim_result, text) from public;
