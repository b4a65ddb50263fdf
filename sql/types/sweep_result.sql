-- What sweep answers. Frozen.
create type idemdb.sweep_result as (
    what text,
    removed bigint,
    pass_complete boolean
);

comment on type idemdb.sweep_result is
'Answer of sweep(), one row per kind of thing: what was removed, how many, and whether the walk has gone round the table once.';
