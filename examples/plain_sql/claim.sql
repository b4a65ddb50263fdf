-- Claim, work, complete, in one transaction, with psql's variables in the place of a program's.
\set ON_ERROR_STOP on
begin;

select c.outcome, c.claim_token, c.result, c.outcome = 'started' as mine
from idemdb.claim('ada:transfer', 'rent-february', idemdb.fingerprint('{"cents": 300}')) as c \gset

\if :mine
    update app.accounts set cents = cents - 300 where name = 'ada' returning cents as left \gset
    update app.accounts set cents = cents + 300 where name = 'bob';
    select jsonb_build_object('left', :left) as result \gset
    select idemdb.complete('ada:transfer', 'rent-february', :claim_token, p_result => :'result');
\endif

commit;

\echo :outcome :result
select a.name, a.cents from app.accounts as a order by a.name;
