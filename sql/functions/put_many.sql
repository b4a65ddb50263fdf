create function idemdb.put_many(
    p_table regclass, p_rows jsonb, p_index text default null, p_options jsonb default null
) returns setof idemdb.row_result
language sql
begin atomic
select
    item,
    outcome,
    record,
    differs,
    details
from idemdb._row_write_many('put', p_table, p_rows, p_index, p_options);
end;

comment on function idemdb.put_many(regclass, jsonb, text, jsonb) is
'Make the rows of a batch have the values given, as put() does, and answer for each position. Runs with the caller''s rights.

p_rows: an array of rows; they may have different columns. p_index, p_options: as for put(), without expect. Rows are written in the order of their keys, so that two batches never deadlock on them. Of a repeated key the last is written; the others are unchanged where they say the same as the row that is then stored, else stale.
Outcomes, with item (position from 1): created, updated, unchanged, stale, gone.
Errors: as put(); one row that is refused takes the whole batch back.';

revoke all on function idemdb.put_many(regclass, jsonb, text, jsonb) from public;
