create function idemdb.put(p_table regclass, p_row jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('put', p_table, p_row, p_index, p_options);

comment on function idemdb.put(regclass, jsonb, text, jsonb) is
'Make a row of a table of yours, found by its natural key, have the values given: create it or change it, and write nothing if it has them already. Runs with the caller''s rights.

p_row: the columns to set; the others keep their value, or get their default in a new row; columns of the natural key are never set. p_index: the unique index that is the natural key; by default the only one whose columns are all given. p_options: columns (the only ones that may be given), returning (the columns of record), version (a column: only a greater value than the stored one wins), expect (the version that must be stored now), replace (true: columns not given go back to their default, but for primary keys, identities, and defaults that are not constant).
Outcomes: created; updated; unchanged (nothing was written); stale (version or expect forbid it; nothing was written, and record is null where there is no row); gone (deleted, and a tombstone is left). differs names given columns whose stored value is another one.
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.put(regclass, jsonb, text, jsonb) from public;
