-- Where sweep() goes on: it walks each table by ranges of blocks and needs no index.
create table idemdb.sweep_cursor (
    what text collate "C" primary key,
    next_block bigint not null default 0,
    pass_completed_at timestamptz
);

comment on table idemdb.sweep_cursor is 'How far sweep() has walked each table.';
comment on column idemdb.sweep_cursor.what is 'The table.';
comment on column idemdb.sweep_cursor.next_block is 'The block to go on at.';
comment on column idemdb.sweep_cursor.pass_completed_at is 'When the last walk over the whole table ended.';

insert into idemdb.sweep_cursor (what) values ('keys');

revoke all on table idemdb.sweep_cursor from public;
