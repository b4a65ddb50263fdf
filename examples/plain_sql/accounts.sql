-- Two accounts, and the function that moves money between them.
create schema app;

create table app.accounts (
    name text primary key,
    cents bigint not null check (cents >= 0)
);

insert into app.accounts (name, cents) values ('ada', 1000), ('bob', 0);

create function app.transfer(a jsonb) returns jsonb
language plpgsql
as $$
declare
    v_cents bigint := (a ->> 'cents')::bigint;
    v_left bigint;
begin
    update app.accounts set cents = cents - v_cents where name = a ->> 'from' and cents >= v_cents returning cents into v_left;
    if not found then
        -- An answer: it is stored, and what this function has written is rolled back.
        raise exception 'not enough money' using errcode = 'ID010', detail = '{"status": 402, "result": "not enough money"}';
    end if;
    update app.accounts set cents = cents + v_cents where name = a ->> 'to';
    return jsonb_build_object('left', v_left);
end;
$$;
