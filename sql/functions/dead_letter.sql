create function idemdb.dead_letter(p_kind text, p_name text, p_id text, p_action text) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settled boolean;
begin
    if p_kind is null or p_kind not in ('consumer', 'topic') then
        raise exception 'the kind must be consumer or topic, not %', coalesce(quote_literal(p_kind), 'null')
            using errcode = 'ID004', hint = 'View dead_letters lists what there is.';
    elsif p_action is null or p_action not in ('replay', 'drop') then
        raise exception 'the action must be replay or drop, not %', coalesce(quote_literal(p_action), 'null')
            using errcode = 'ID004', hint = 'replay tries again with fresh attempts, drop gives up for good.';
    end if;
    perform idemdb._check_names(p_kind, p_name, 'id', p_id);
    v_settled := case p_kind
        when 'consumer' then idemdb._settle_dead_event(p_name, p_id, p_action)
        else idemdb._settle_dead_message(p_name, p_id, p_action)
    end;
    if not v_settled then
        raise exception 'there is no dead letter "%" of % "%"', p_id, p_kind, p_name
            using errcode = 'ID004', hint = 'View dead_letters lists what there is.';
    end if;
    insert into idemdb.audit (happened_at, actor, action, scope, key)
    values (clock_timestamp(), idemdb._actor(), format('dead_letter:%s:%s', p_kind, p_action), p_name, p_id);
    return case p_action when 'replay' then 'replayed' else 'dropped' end;
end;
$$;

comment on function idemdb.dead_letter(text, text, text, text) is
'Decide by hand what becomes of a dead event or message (for idemdb_admin).

p_kind consumer: p_name the consumer, p_id the event id; replay makes the event new again, for when it is delivered once more; drop makes it a duplicate, remembered for keep_for from now. p_kind topic: p_name the topic, p_id the message''s id; replay makes it available at once, drop deletes it, its dedup key stays. Leaves an audit row.
Returns replayed or dropped.
Errors: ID004 when there is no such dead letter, or an unknown kind or action.';

revoke all on function idemdb.dead_letter(text, text, text, text) from public;
