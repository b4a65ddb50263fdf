-- One row per entity, kept for good: a late version must stay stale.
create table idemdb.entity_versions (
    version bigint not null,
    advanced_at timestamptz not null,
    consumer text collate "C" not null,
    entity text collate "C" not null,
    primary key (consumer, entity)
) with (fillfactor = 80);

comment on table idemdb.entity_versions is 'The newest version of each entity that a consumer has applied.';
comment on column idemdb.entity_versions.version is 'The newest version applied.';
comment on column idemdb.entity_versions.advanced_at is 'When it was applied.';
comment on column idemdb.entity_versions.consumer is 'Name of the consumer.';
comment on column idemdb.entity_versions.entity is 'What has versions, such as account/7.';

revoke all on table idemdb.entity_versions from public;
