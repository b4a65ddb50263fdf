create function idemdb._check_message(
    p_topic text, p_dedup_key text, p_payload jsonb, p_headers jsonb, p_group text, p_available_at timestamptz
) returns void
language plpgsql immutable
as $$
begin
    perform idemdb._check_names('topic', p_topic, 'dedup key', p_dedup_key);
    perform idemdb._check_names('topic', p_topic, 'group', coalesce(p_group, 'none'));
    if p_payload is null then
        raise exception 'the payload is null' using errcode = 'ID004', hint = 'Pass what is to be delivered as jsonb.';
    elsif jsonb_typeof(p_headers) <> 'object' then
        raise exception 'the headers must be a JSON object, not %', jsonb_typeof(p_headers)
            using errcode = 'ID004', hint = 'Pass names and values, or null for none.';
    elsif not isfinite(p_available_at) then
        raise exception 'a message cannot become available at %', p_available_at
            using errcode = 'ID004', hint = 'Pass a time, or null for at once.';
    end if;
end;
$$;

comment on function idemdb._check_message(text, text, jsonb, jsonb, text, timestamptz) is
'Internal. Raises ID004 for a message that outbox_add() refuses.';

revoke all on function idemdb._check_message(text, text, jsonb, jsonb, text, timestamptz) from public;
