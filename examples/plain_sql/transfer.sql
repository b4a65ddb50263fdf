-- One call: the function runs once, and every repeat is told its answer.
select e.outcome, e.status, e.result
from idemdb.execute('ada:transfer', 'rent-january', 'app.transfer', '{"from": "ada", "to": "bob", "cents": 300}') as e;

-- More than there is: the refusal is the answer, and is remembered.
select e.outcome, e.status, e.result
from idemdb.execute('ada:transfer', 'yacht', 'app.transfer', '{"from": "ada", "to": "bob", "cents": 900000}') as e;

select a.name, a.cents from app.accounts as a order by a.name;
