create function idemdb._recall(p_row idemdb.keys, p_state text) returns idemdb.claim_result
language plpgsql stable
as $$
declare
    v_answer idemdb.claim_result;
begin
    v_answer.attempt := p_row.attempt;
    v_answer.reference := p_row.reference;
    v_answer.claimed_at := idemdb._claimed_at(p_row.claim_token);
    v_answer.completed_at := p_row.completed_at;
    case p_state
        when 'done' then
            v_answer.outcome := 'replayed';
            v_answer.status := p_row.status;
            v_answer.headers := p_row.headers;
            v_answer.body := p_row.body;
            v_answer.result := p_row.result;
        when 'expired' then
            v_answer.outcome := 'expired';
        when 'unresolved' then
            v_answer.outcome := 'unresolved';
            v_answer.recovery_point := p_row.recovery_point;
            v_answer.recovery_data := p_row.recovery_data;
    end case;
    return v_answer;
end;
$$;

comment on function idemdb._recall(idemdb.keys, text) is
'Internal. The answer that a finished (done, expired) or unresolved key gives to a repeat.';

revoke all on function idemdb._recall(idemdb.keys, text) from public;
