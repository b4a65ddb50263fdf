-- Names come in pairs (consumer and event id, topic and dedup key …), so they are checked in pairs.
create function idemdb._check_names(p_what text, p_name text, p_what_else text, p_name_else text) returns void
language plpgsql immutable
as $$
declare
    v_bad text := case when octet_length(p_name) between 1 and 255 then p_what_else else p_what end;
    v_size integer := octet_length(case v_bad when p_what then p_name else p_name_else end);
begin
    if idemdb._valid_key(p_name, p_name_else) then
        return;
    end if;
    raise exception 'the % must have 1 to 255 octets, this one %', v_bad,
        case when v_size is null then 'is null' else format('has %s', v_size) end
        using errcode = 'ID004', hint = format('Pass the %s as text, or a digest of it where it is longer.', v_bad);
end;
$$;

comment on function idemdb._check_names(text, text, text, text) is
'Internal. Raises ID004 unless both names (of a consumer, event, stream, entity, topic, message) have 1 to 255 octets.';

revoke all on function idemdb._check_names(text, text, text, text) from public;
