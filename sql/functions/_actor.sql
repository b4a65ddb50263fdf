create function idemdb._actor() returns text
language sql stable
return session_user || coalesce('/' || nullif(current_setting('role'), 'none'), '');

comment on function idemdb._actor() is 'Internal. Who is acting: the login role, and the role it has set.';

revoke all on function idemdb._actor() from public;
