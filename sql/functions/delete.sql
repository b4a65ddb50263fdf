create function idemdb.delete(p_table regclass, p_key jsonb, p_index text default null, p_options jsonb default null)
returns idemdb.row_result
language sql
return idemdb._row_write('delete', p_table, p_key, p_index, p_options);

comment on function idemdb.delete(regclass, jsonb, text, jsonb) is
'Delete a row of a table of yours, found by its natural key; where the key has a tombstone column, set that instead, so that no late create() or put() brings the row back. Runs with the caller''s rights.

p_key: exactly the columns of the natural key. p_index: the unique index that is the natural key; by default the only one with just these columns. p_options: columns (the only ones that may be given), returning (the columns of record), stub (true: deleting an absent row leaves a tombstone).
Outcomes: deleted (record: the row with its tombstone, null where it was removed); absent (it was deleted before, or never was).
Errors: ID004 invalid argument; ID006 no usable natural key, or several; 42501 no right, or row-level security hides the row; 25006; 40001 repeat the transaction.';

revoke all on function idemdb.delete(regclass, jsonb, text, jsonb) from public;
