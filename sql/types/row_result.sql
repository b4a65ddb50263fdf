-- What create, put, delete and their batches answer. Frozen: new facts go into details.
create type idemdb.row_result as (
    item integer,
    outcome text,
    record jsonb,
    differs text[],
    details jsonb
);

comment on type idemdb.row_result is
'Answer of create(), put(), delete(), create_many(), put_many(). item: position in the batch, from 1. outcome: never null. record: the row as it now stands, null where there is none. differs: columns given whose stored value is another one, never null. details: null so far.';
