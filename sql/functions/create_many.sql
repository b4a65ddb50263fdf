create function idemdb.create_many(
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
from idemdb._row_write_many('create', p_table, p_rows, p_index, p_options);
end;

comment on function idemdb.create_many(regclass, jsonb, text, jsonb) is
'Create the rows of a batch that do not exist, as create() does, and answer for each position. Runs with the caller''s rights.

p_rows: an array of rows; they may have different columns. p_index, p_options: as for create(). Rows are written in the order of their keys, so that two batches never deadlock on them. Of a repeated key the first is created and the others are existing.
Outcomes, with item (position from 1): created, existing, gone.
Errors: as create(); one row that is refused takes the whole batch back.';

revoke all on function idemdb.create_many(regclass, jsonb, text, jsonb) from public;
