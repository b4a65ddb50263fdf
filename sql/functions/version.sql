create function idemdb.version() returns integer
language sql immutable parallel safe
return 3;

comment on function idemdb.version() is 'The release of idemdb''s schema that is installed.';

revoke all on function idemdb.version() from public;
