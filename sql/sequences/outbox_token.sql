-- Not a clock: a take that was rolled back must not share its token with the next.
create sequence idemdb.outbox_token;

comment on sequence idemdb.outbox_token is 'Claim tokens of outbox_take(): one per take, never twice.';

revoke all on sequence idemdb.outbox_token from public;
