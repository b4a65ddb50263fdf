-- While execute runs a function its key is nowhere in a table, so execute leaves a mark for claims inside that function, in a
-- setting that ends with the transaction or the savepoint.
create function idemdb._execution(p_lock bigint, p_fingerprint bytea) returns text
language sql immutable parallel safe
return ' ' operator(pg_catalog.||) pg_catalog.encode(pg_catalog.int8send(p_lock), 'hex') operator(pg_catalog.||) ':'
    operator(pg_catalog.||) pg_catalog.encode(p_fingerprint, 'hex');

comment on function idemdb._execution(bigint, bytea) is
'Internal. The mark in setting idemdb.executing of a key whose function is being run by this transaction.';

revoke all on function idemdb._execution(bigint, bytea) from public;
