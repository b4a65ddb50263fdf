create type idemdb._row_pieces as (
    verb text,
    target text,
    scan text,
    source text,
    names text,
    given text,
    arbiter text,
    matches text,
    verdict text,
    record text,
    differs text,
    guard text,
    set_list text,
    tombstone text,
    ranking text,
    triggers boolean
);

comment on type idemdb._row_pieces is
'Internal. Pieces of SQL from which the statements of a row verb are put together; see _row_sql().';
