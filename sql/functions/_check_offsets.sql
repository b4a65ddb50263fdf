create function idemdb._check_offsets(p_offsets bigint[], p_floor bigint) returns void
language plpgsql immutable
as $$
begin
    if p_offsets is null or array_position(p_offsets, null) is not null then
        raise exception 'an offset is null'
            using errcode = 'ID004', hint = 'Pass an array of offsets without nulls, empty for none.';
    elsif exists (select from unnest(p_offsets) as o where o < 0 or o = 9223372036854775807) or p_floor < 0 then
        raise exception 'an offset is negative or larger than a stream can have'
            using errcode = 'ID004', hint = 'Offsets count from 0; the largest is 9223372036854775806.';
    end if;
end;
$$;

comment on function idemdb._check_offsets(bigint[], bigint) is
'Internal. Raises ID004 for offsets that process_offsets() refuses.';

revoke all on function idemdb._check_offsets(bigint[], bigint) from public;
