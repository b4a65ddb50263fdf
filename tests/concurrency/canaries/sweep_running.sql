-- Wrong: removes claims whose holder is still at work.
create or replace function canary.sweep(p_limit integer) returns bigint
language sql
begin atomic
    with gone as (
        delete from canary.keys as k
        where k.completed_at is null
        returning 1
    )
    select count(*) from gone;
end;
