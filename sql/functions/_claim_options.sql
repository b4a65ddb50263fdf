create function idemdb._claim_options(
    p_options jsonb,
    out replay_for interval,
    out keep_for interval,
    out hold boolean,
    out raises boolean
)
language plpgsql immutable
as $$
begin
    perform idemdb._check_members('p_options', p_options, '{replay_for,keep_for,abandoned,raise}');
    replay_for := idemdb._read_interval(p_options, 'replay_for');
    keep_for := idemdb._read_interval(p_options, 'keep_for');
    if replay_for > keep_for then
        raise exception 'keep_for (%) is shorter than replay_for (%)', keep_for, replay_for
            using errcode = 'ID004',
            hint = 'A key must be remembered at least as long as its answer is kept; raise keep_for or lower replay_for.';
    end if;
    -- A single one given moves the default of the other out of its way.
    replay_for := coalesce(replay_for, least(interval '24 hours', keep_for));
    keep_for := coalesce(keep_for, greatest(interval '30 days', replay_for));

    if coalesce(p_options ->> 'abandoned', 'retry') not in ('retry', 'hold') then
        raise exception 'abandoned must be "retry" or "hold", not %', p_options -> 'abandoned'
            using errcode = 'ID004',
            hint = '"retry" lets the next claim take over when the lease ran out, "hold" leaves the key to resolve().';
    end if;
    hold := coalesce(p_options ->> 'abandoned' = 'hold', false);

    if jsonb_typeof(p_options -> 'raise') not in ('boolean', 'null') then
        raise exception 'raise must be true or false, not %', p_options -> 'raise'
            using errcode = 'ID004', hint = 'With true, in_progress raises ID001 and mismatch raises ID002.';
    end if;
    raises := coalesce((p_options ->> 'raise')::boolean, false);
end;
$$;

comment on function idemdb._claim_options(jsonb) is
'Internal. The options of claim() and execute() with their defaults filled in; ID004 for what is unknown or contradictory.';

revoke all on function idemdb._claim_options(jsonb) from public;
