create function idemdb._check_events(p_consumer text, p_event_ids text[], p_occurred_at timestamptz[]) returns void
language plpgsql
as $$
declare
    v_bad bigint;
begin
    if p_event_ids is null then
        raise exception 'the event ids are null' using errcode = 'ID004', hint = 'Pass an array of ids, empty for none.';
    elsif cardinality(p_occurred_at) <> cardinality(p_event_ids) then
        raise exception '% event ids but % times', cardinality(p_event_ids), cardinality(p_occurred_at)
            using errcode = 'ID004', hint = 'Pass one time per event, null where it is not known, or no array at all.';
    end if;
    perform idemdb._check_names('consumer', p_consumer, 'event id', 'any');
    select min(e.item) into v_bad
    from unnest(p_event_ids, p_occurred_at) with ordinality as e (event_id, occurred_at, item)
    where not idemdb._valid_key(e.event_id, 'any') or not isfinite(e.occurred_at);
    if v_bad is not null then
        raise exception 'event % of the batch has no valid id or time', v_bad
            using errcode = 'ID004', hint = 'An event id has 1 to 255 octets; its time is finite or null.';
    end if;
    perform idemdb._check_writable('process events');
end;
$$;

comment on function idemdb._check_events(text, text[], timestamptz[]) is
'Internal. Raises ID004 for a batch of events that process_many() refuses, 25006 where it cannot write.';

revoke all on function idemdb._check_events(text, text[], timestamptz[]) from public;
