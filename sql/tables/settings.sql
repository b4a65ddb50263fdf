-- Settings of consumers and topics, written by configure().
create table idemdb.settings (
    kind text collate "C" not null,
    name text collate "C" not null,
    settings jsonb not null,
    updated_at timestamptz not null,
    primary key (kind, name)
);

comment on table idemdb.settings is 'What configure() was told; what is absent has its default.';
comment on column idemdb.settings.kind is 'consumer or topic.';
comment on column idemdb.settings.name is 'Name of the consumer or topic.';
comment on column idemdb.settings.settings is 'The settings that differ from the defaults.';
comment on column idemdb.settings.updated_at is 'When they were last changed.';

revoke all on table idemdb.settings from public;
