-- One row per numbered stream: everything seen, as ranges.
create table idemdb.streams (
    consumer text collate "C" not null,
    stream text collate "C" not null,
    seen int8multirange not null default '{}',
    primary key (consumer, stream)
) with (fillfactor = 50);

comment on table idemdb.streams is 'Which offsets of a stream a consumer has seen.';
comment on column idemdb.streams.consumer is 'Name of the consumer.';
comment on column idemdb.streams.stream is 'Name of the stream, such as a topic and partition.';
comment on column idemdb.streams.seen is 'The offsets seen; one range for a stream without gaps.';

revoke all on table idemdb.streams from public;
