create type idemdb._row_plan as (
    index_oid oid,
    triggers boolean,
    guarded boolean,
    read_sql text,
    insert_sql text,
    update_sql text,
    rank_sql text
);

comment on type idemdb._row_plan is
'Internal. The statements of one row verb for one table, natural key, set of columns and options. Each takes the row as jsonb; read_sql, insert_sql and update_sql give a row_result, rank_sql the texts of its key. triggers: there are BEFORE ROW triggers. guarded: an index is being built, so that spurious conflicts are possible.';
