create function idemdb._check_resolve(p_state text, p_action text, p_note text, p_answer jsonb) returns void
language plpgsql immutable
as $$
begin
    if p_action is null or p_action not in ('completed', 'retry', 'forget') then
        raise exception 'the action must be completed, retry or forget, not %', coalesce(quote_literal(p_action), 'null')
            using errcode = 'ID004', hint = 'completed stores an answer, retry lets the next claim run, forget erases the key.';
    elsif coalesce(p_note, '') = '' then
        raise exception 'the note is empty'
            using errcode = 'ID004', hint = 'Say why: the note is kept in the audit table.';
    elsif p_answer is not null and p_action <> 'completed' then
        raise exception 'an answer goes with action completed only'
            using errcode = 'ID004', hint = format('Leave p_answer out for action %s.', p_action);
    elsif p_state not in ('abandoned', 'unresolved', 'released')
        and not (p_state in ('done', 'expired') and p_action = 'forget')
    then
        raise exception 'action % is not possible for a key that is %', p_action,
            case p_state when 'open' then 'running' else p_state end
            using errcode = 'ID004',
            hint = case
                when p_state in ('done', 'expired') then 'A finished key can only be forgotten.'
                when p_state = 'unknown' then 'No committed claim of this key is known; see lookup().'
                else 'Wait for its holder: once the lease is over the key can be resolved.'
            end;
    end if;
end;
$$;

comment on function idemdb._check_resolve(text, text, text, jsonb) is
'Internal. Raises ID004 where resolve() is called for a state or with arguments that it refuses.';

revoke all on function idemdb._check_resolve(text, text, text, jsonb) from public;
