create function idemdb.create(p_table regclass, p_row jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('create', p_table, p_row, p_index, p_options);

comment on function idemdb.create(regclass, jsonb, text, jsonb) is
'Create a row of a table of yours unless one with its natural key exists, and return the row that is there now. Runs with the caller''s rights.

p_row: the columns and their values; the others get their defaults. p_index: the unique index that is the natural key; by default the only one whose columns are all given. p_options: columns (the only ones that may be given), returning (the columns of record).
Outcomes: created (differs names what triggers changed); existing (nothing was written; differs names given columns whose stored value is another one); gone (deleted, and a tombstone is left).
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.create(regclass, jsonb, text, jsonb) from public;
