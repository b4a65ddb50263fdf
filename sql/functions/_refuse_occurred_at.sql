create function idemdb._refuse_occurred_at(p_occurred_at timestamptz) returns void
language plpgsql immutable
as $$
begin
    raise exception 'an event cannot occur at %', p_occurred_at
        using errcode = 'ID004', hint = 'Pass the producer''s time of the event, or null where it is not known.';
end;
$$;

comment on function idemdb._refuse_occurred_at(timestamptz) is 'Internal. Raises ID004 for an infinite time.';

revoke all on function idemdb._refuse_occurred_at(timestamptz) from public;
