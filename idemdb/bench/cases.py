"""What is measured: operations, the floors beside them, and the bars to reach. Data only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Tool = Literal["client", "server"]
Measure = Literal["round_trips", "wal_bytes", "xids", "dead_tuples", "hot_share"]

# A key is a UUID, made of a number with twelve digits so that pgbench can make one too.
KEY_TAIL = "-4a0e-8d1c-9b0b5f0a7c39"
STORED = range(100_000_000_000, 100_000_010_000)
FRESH = range(200_000_000_000, 1_000_000_000_000)

_REQUEST = '{"amount": 500}'
PARAMETERS: Mapping[str, str] = {
    "scope": "acme:pay",
    "request": _REQUEST,
    "fingerprint": "\\x" + hashlib.sha256(_REQUEST.encode()).hexdigest(),
}
_PARAMETER = re.compile(r"(?<!:):([a-z]+)")


@dataclass(frozen=True)
class Operation:
    """Statements that are done together, with parameters as ``:name``.

    :param statements: sent one after the other; ``:token`` is the first column of the statement before.
    :param keys: where keys are taken from, at random: STORED (they have an answer) or FRESH.
    :param transaction: whether BEGIN and COMMIT are sent around the statements.
    """

    statements: tuple[str, ...]
    keys: range
    transaction: bool = False

    def for_psycopg(self) -> list[str]:
        """Return the statements with psycopg's placeholders."""
        return [_PARAMETER.sub(r"%(\1)s", statement) for statement in self.statements]

    def for_pgbench(self) -> str:
        """Return a script of pgbench, which sends every variable as a parameter."""
        first, last = self.keys[0], self.keys[-1]
        lines = [
            statement.replace(":key", f"(:number::text || '{KEY_TAIL}')") for statement in self.statements
        ]
        return "\n".join([f"\\set number random({first}, {last})", *(f"{line};" for line in lines)]) + "\n"


@dataclass(frozen=True)
class Case:
    """An operation of idemdb beside its floor.

    :param bars: by tool, the least ratio to the floor.
    :param limits: by measure, the most per operation; for hot_share the least.
    :param over_floor: whether the counts are what the operation needs more than its floor.
    :param counted: how many operations are counted.
    """

    title: str
    operation: Operation
    floor: Operation
    clients: tuple[int, ...]
    bars: Mapping[Tool, float | None]
    limits: Mapping[Measure, float] = field(default_factory=dict)
    over_floor: bool = False
    counted: int = 300


_ANSWER = "status, headers, body, result, reference, completed_at"
_INSERT = Operation(
    (
        """
        insert into bench.floor (scope, key, fingerprint, result)
        values (:scope, :key, :fingerprint, :request)
        on conflict (scope, key) do nothing returning completed_at
        """,
    ),
    FRESH,
)
_BUSINESS = "insert into bench.payments (key, amount) values (:key, 500) returning id"
_COMPLETE = "select idemdb.complete(:scope, :key, :token, p_status => 201, p_result => :request)"
# A thousand ids that no index has side by side.
_IDS = "array(select md5(:key || n) from generate_series(1, 1000) as n)"
_INSERT_MANY = Operation(
    (
        f"""
        with new as (
            insert into bench.seen (consumer, event_id, forget_at)
            select 'billing', id, clock_timestamp() + interval '30 days' from unnest({_IDS}) as id
            on conflict (consumer, event_id) do nothing returning event_id
        )
        select count(*) from new
        """,
    ),
    FRESH,
)
_OFFSETS = """
select idemdb.process_offsets(
    'billing', 'payments/0', array(select generate_series(n * 1000, n * 1000 + 999))
)
from nextval('bench.batches') as n
"""

# A put of a row: by a statement of one's own, and by the typed helper. The amount is a constant, or another
# each time.
_PUT_FLOOR = """
insert into bench.floor_items (sku, title, amount) values (:key, 'A thing', {amount})
on conflict (sku) do update set title = excluded.title, amount = excluded.amount returning *
"""
_PUT = "select outcome, record from bench.items_put_by_sku_key(:key, 'A thing', {amount})"
_ANOTHER = "(random() * 1000000000)::integer"


def _put(statement: str, amount: str, keys: range) -> Operation:
    return Operation((statement.format(amount=amount),), keys)


CASES: tuple[Case, ...] = (
    Case(
        "replay",
        Operation((f"select outcome, {_ANSWER} from idemdb.claim(:scope, :key, :fingerprint)",), STORED),
        Operation(
            (f"select fingerprint, {_ANSWER} from bench.floor where scope = :scope and key = :key",), STORED
        ),
        clients=(1, 8),
        bars={"client": 0.80, "server": 0.70},
        limits={"round_trips": 1, "wal_bytes": 0, "xids": 0, "dead_tuples": 0},
    ),
    Case(
        "execute, first run",
        Operation(
            (f"select outcome, {_ANSWER} from idemdb.execute(:scope, :key, 'bench.echo', :request)",), FRESH
        ),
        _INSERT,
        clients=(1, 8),
        bars={"client": 0.75, "server": 0.62},
        limits={"round_trips": 1, "wal_bytes": 380, "dead_tuples": 0},
    ),
    Case(
        "claim + complete, bound",
        Operation(
            (_BUSINESS, "select claim_token from idemdb.claim(:scope, :key, :fingerprint)", _COMPLETE),
            FRESH,
            transaction=True,
        ),
        Operation((_BUSINESS,), FRESH, transaction=True),
        clients=(1,),
        bars={"client": None},
        limits={"round_trips": 2, "wal_bytes": 520, "xids": 0, "hot_share": 1},
        over_floor=True,
    ),
    Case(
        "claim + complete, leased",
        Operation(
            (
                "select claim_token from idemdb.claim(:scope, :key, :fingerprint, interval '30 seconds')",
                _COMPLETE,
            ),
            FRESH,
        ),
        _INSERT,
        clients=(1, 8),
        bars={"client": 0.42},
        limits={"round_trips": 2, "wal_bytes": 540, "hot_share": 1},
    ),
    Case(
        "duplicate event",
        Operation(("select idemdb.process('billing', :key)",), STORED),
        Operation(
            ("select forget_at from bench.seen where consumer = 'billing' and event_id = :key",), STORED
        ),
        clients=(1, 8),
        bars={"client": 0.80, "server": 0.70},
        limits={"round_trips": 1, "wal_bytes": 0, "xids": 0},
    ),
    Case(
        "1,000 new events",
        Operation((f"select count(*) from idemdb.process_many('billing', {_IDS})",), FRESH),
        _INSERT_MANY,
        clients=(1,),
        bars={"server": 0.90},
        limits={"round_trips": 1},
        counted=20,
    ),
    Case(
        "1,000 offsets in order",
        Operation((_OFFSETS,), FRESH),
        _INSERT_MANY,
        clients=(1,),
        bars={"server": 4.0},
        limits={"round_trips": 1, "wal_bytes": 1000},
        counted=20,
    ),
    # The unchanged rows first: the others change them.
    Case(
        "typed put, unchanged row",
        _put(_PUT, "0", STORED),
        _put(_PUT_FLOOR, "0", STORED),
        clients=(1, 8),
        bars={"server": 2.0},
        limits={"round_trips": 1, "wal_bytes": 0, "xids": 0},
    ),
    Case(
        "typed put, changed row",
        _put(_PUT, _ANOTHER, STORED),
        _put(_PUT_FLOOR, _ANOTHER, STORED),
        clients=(1, 8),
        bars={"server": 0.85},
        limits={"round_trips": 1},
    ),
    Case(
        "typed put, new row",
        _put(_PUT, "0", FRESH),
        _put(_PUT_FLOOR, "0", FRESH),
        clients=(1, 8),
        bars={"server": 0.90},
        limits={"round_trips": 1},
    ),
)

# A call of Idem may need so much more processor time of the client than psycopg alone, in microseconds.
PYTHON_BAR = 40.0
