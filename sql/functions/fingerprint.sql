create function idemdb.fingerprint(p_request jsonb, p_exclude text[] default '{}') returns bytea
language plpgsql immutable parallel safe
as $$
declare
    v_request jsonb := p_request;
    v_path text;
begin
    if p_request is null then
        raise exception 'the request is null'
            using errcode = 'ID004', hint = 'Pass it as jsonb; for a request without parameters the fingerprint is ''\x''.';
    end if;
    if p_exclude operator(pg_catalog.<>) '{}' then
        foreach v_path in array p_exclude loop
            begin
                v_request := v_request operator(pg_catalog.#-) v_path::text[];
            exception
                when data_exception or array_subscript_error or null_value_not_allowed then
                    raise exception '"%" is no path to exclude', v_path
                        using errcode = 'ID004', hint = 'Write each path as for #-: ''{user,sent_at}''.';
            end;
        end loop;
    end if;
    -- The text of jsonb is canonical: sorted keys, no duplicates, no blanks, numbers with the digits they came with.
    return pg_catalog.sha256(pg_catalog.convert_to(v_request::text, 'UTF8'));
end;
$$;

comment on function idemdb.fingerprint(jsonb, text[]) is
'Digest of a request: 32 bytes, the same for every spelling of the same JSON document.

Order and duplicates of keys and blanks do not count; 1 and 1.0 differ. p_exclude: paths of members to leave out, such as ''{user,sent_at}''.
Errors: ID004 null request or malformed path.';

revoke all on function idemdb.fingerprint(jsonb, text[]) from public;
