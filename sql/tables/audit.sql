-- What people did to keys by hand.
create table idemdb.audit (
    id bigint generated always as identity primary key,
    happened_at timestamptz not null,
    actor text not null,
    action text not null,
    scope text not null,
    key text,
    note text,
    details jsonb
);

comment on table idemdb.audit is 'One row per resolve() and forget(): who, when, what, why.';
comment on column idemdb.audit.id is 'Order of the entries.';
comment on column idemdb.audit.happened_at is 'The database''s clock.';
comment on column idemdb.audit.actor is 'The login role, and after a slash the role it had set.';
comment on column idemdb.audit.action is 'resolve:completed, resolve:retry, resolve:forget, forget.';
comment on column idemdb.audit.scope is 'The scope acted on.';
comment on column idemdb.audit.key is 'The key, or null for a whole scope.';
comment on column idemdb.audit.note is 'The reason given.';
comment on column idemdb.audit.details is 'State, token and attempt before; number of keys erased.';

revoke all on table idemdb.audit from public;
