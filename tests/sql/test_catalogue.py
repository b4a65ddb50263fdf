"""What must hold for every object of the schema, asked of PostgreSQL's catalogue."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

# Functions that run or touch what belongs to the user: with the caller's rights and search_path.
INVOKERS = {"execute", "_execute_call"}
DEFINERS = {
    "claim", "complete", "checkpoint", "renew", "release", "lookup", "resolve", "configure", "sweep", "forget",
    "_execute_begin", "_execute_end", "process", "process_many", "process_failed", "process_offsets", "advance",
    "outbox_add", "outbox_take", "outbox_done", "outbox_retry", "dead_letter",
}  # fmt: skip

RULES = {
    "a function without COMMENT": """
        select proname from functions where pg_catalog.obj_description(oid, 'pg_proc') is null""",
    "a public function whose COMMENT is no manual": """
        select proname from functions
        where proname !~ '^_' and proname not in ('version', 'fingerprint', 'lookup', 'execute')
        and pg_catalog.obj_description(oid, 'pg_proc') !~ 'Errors: '""",
    "a parameter that is not called p_…": """
        select f.proname from functions as f, unnest(f.proargnames[:f.pronargs]) as a where a !~ '^p_'""",
    "a function that PUBLIC may execute": """
        select proname from functions as f
        where exists (select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) where grantee = 0)""",
    "a table or view that PUBLIC may use": """
        select relname from pg_class as c
        where relnamespace = 'idemdb'::regnamespace and relkind in ('r', 'v', 'p', 'S')
        and exists (select from aclexplode(coalesce(c.relacl, acldefault(
            case relkind when 'S' then 's' else 'r' end::"char", c.relowner))) where grantee = 0)""",
    "an overloaded function": "select proname from functions group by proname having count(*) > 1",
    "a definer without a pinned search_path": """
        select proname from functions
        where prosecdef and not ('search_path=pg_catalog, pg_temp' = any (coalesce(proconfig, '{}')))""",
    "a definer that takes a table": """
        select proname from functions where prosecdef and proargtypes::oid[] && array['regclass'::regtype::oid]""",
    "a table without COMMENT": """
        select relname from pg_class where relnamespace = 'idemdb'::regnamespace and relkind in ('r', 'v', 'p')
        and pg_catalog.obj_description(oid, 'pg_class') is null""",
    "a column without COMMENT": """
        select c.relname || '.' || a.attname from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where c.relnamespace = 'idemdb'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
        and pg_catalog.col_description(c.oid, a.attnum) is null""",
    "a type without COMMENT": """
        select t.typname from pg_type as t join pg_class as c on c.oid = t.typrelid
        where t.typnamespace = 'idemdb'::regnamespace and c.relkind = 'c'
        and pg_catalog.obj_description(t.oid, 'pg_type') is null""",
    "an index on keys besides the primary key": """
        select indexrelid::regclass::text from pg_index where indrelid = 'idemdb.keys'::regclass and not indisprimary""",
    "an unlogged table": """
        select relname from pg_class where relnamespace = 'idemdb'::regnamespace and relpersistence <> 'p'""",
    "a foreign key": """
        select conname from pg_constraint where connamespace = 'idemdb'::regnamespace and contype = 'f'""",
}


@pytest.fixture
def catalogue(conn: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection on which ``functions`` are idemdb's rows of pg_proc."""
    conn.execute(
        "create temp view functions as select * from pg_proc where pronamespace = 'idemdb'::regnamespace"
    )
    return conn


@pytest.mark.parametrize("rule", RULES)
def test_no_object_is(rule: str, catalogue: psycopg.Connection[Any]) -> None:
    """Each rule finds nothing."""
    assert catalogue.execute(RULES[rule].encode()).fetchall() == []


def test_the_rules_find_what_breaks_them(catalogue: psycopg.Connection[Any]) -> None:
    """Canary: a table and functions that break the rules are found."""
    catalogue.execute("""
        create unlogged table idemdb.bad (x text unique, y text references idemdb.bad (x));
        grant select on idemdb.bad to public;
        create index on idemdb.keys (attempt);
        create type idemdb.bad_type as (x integer);
        create function idemdb.bad(x regclass) returns void language sql security definer as '';
        create function idemdb.bad() returns void language sql as '';
        comment on function idemdb.bad() is 'Nothing said.';
    """)
    silent = [rule for rule, query in RULES.items() if not catalogue.execute(query.encode()).fetchall()]
    assert silent == []


def test_who_runs_with_whose_rights(catalogue: psycopg.Connection[Any]) -> None:
    """Both kinds of function are as they should be, and every public one is of a kind."""
    kinds = dict(catalogue.execute("select proname, prosecdef from functions").fetchall())
    assert {name for name, definer in kinds.items() if definer} == DEFINERS
    pinned = catalogue.execute(
        "select proname from functions where proname = any (%s) and proconfig is not null", [list(INVOKERS)]
    ).fetchall()
    assert pinned == []


def test_signatures_are_the_contract(catalogue: psycopg.Connection[Any]) -> None:
    """Names, order, types, defaults and results of what others call."""
    rows = catalogue.execute("""
        select format('%s(%s) returns %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid))
        from functions where proname !~ '^_' order by proname
    """).fetchall()
    assert [row[0] for row in rows] == [
        "advance(p_consumer text, p_entity text, p_version bigint) returns text",
        "checkpoint(p_scope text, p_key text, p_claim_token bigint, p_recovery_point text, p_data jsonb DEFAULT NULL::jsonb, "
        "p_lease interval DEFAULT NULL::interval) returns timestamp with time zone",
        "claim(p_scope text, p_key text, p_fingerprint bytea, p_lease interval DEFAULT NULL::interval, "
        "p_wait interval DEFAULT NULL::interval, p_options jsonb DEFAULT NULL::jsonb) returns idemdb.claim_result",
        "complete(p_scope text, p_key text, p_claim_token bigint, p_status integer DEFAULT NULL::integer, "
        "p_headers jsonb DEFAULT NULL::jsonb, p_body bytea DEFAULT NULL::bytea, p_result jsonb DEFAULT NULL::jsonb, "
        "p_reference text DEFAULT NULL::text) returns timestamp with time zone",
        "configure(p_kind text, p_name text, p_settings jsonb) returns jsonb",
        "create(p_table regclass, p_row jsonb, p_index text DEFAULT NULL::text, "
        "p_options jsonb DEFAULT NULL::jsonb) returns idemdb.row_result",
        "create_many(p_table regclass, p_rows jsonb, p_index text DEFAULT NULL::text, "
        "p_options jsonb DEFAULT NULL::jsonb) returns SETOF idemdb.row_result",
        "dead_letter(p_kind text, p_name text, p_id text, p_action text) returns text",
        "delete(p_table regclass, p_key jsonb, p_index text DEFAULT NULL::text, "
        "p_options jsonb DEFAULT NULL::jsonb) returns idemdb.row_result",
        "execute(p_scope text, p_key text, p_function text, p_args jsonb, p_wait interval DEFAULT NULL::interval, "
        "p_options jsonb DEFAULT NULL::jsonb) returns idemdb.claim_result",
        "fingerprint(p_request jsonb, p_exclude text[] DEFAULT '{}'::text[]) returns bytea",
        "forget(p_scope text, p_key text DEFAULT NULL::text) returns bigint",
        "lookup(p_scope text, p_key text) returns idemdb.key_record",
        "outbox_add(p_topic text, p_dedup_key text, p_payload jsonb, p_headers jsonb DEFAULT NULL::jsonb, "
        "p_group text DEFAULT NULL::text, p_available_at timestamp with time zone DEFAULT NULL::timestamp with time zone) "
        "returns idemdb.outbox_result",
        "outbox_done(p_topic text, p_claim_token bigint, p_ids bigint[]) returns integer",
        "outbox_retry(p_topic text, p_claim_token bigint, p_id bigint, p_delay interval, p_error text) returns text",
        "outbox_take(p_topic text, p_limit integer, p_lease interval) returns SETOF idemdb.outbox_message",
        "process(p_consumer text, p_event_id text, p_occurred_at timestamp with time zone DEFAULT NULL::timestamp with time zone) "
        "returns text",
        "process_failed(p_consumer text, p_event_id text, p_error text) returns text",
        "process_many(p_consumer text, p_event_ids text[], "
        "p_occurred_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[]) returns SETOF idemdb.event_result",
        "process_offsets(p_consumer text, p_stream text, p_offsets bigint[], p_floor bigint DEFAULT NULL::bigint) "
        "returns bigint[]",
        "put(p_table regclass, p_row jsonb, p_index text DEFAULT NULL::text, "
        "p_options jsonb DEFAULT NULL::jsonb) returns idemdb.row_result",
        "put_many(p_table regclass, p_rows jsonb, p_index text DEFAULT NULL::text, "
        "p_options jsonb DEFAULT NULL::jsonb) returns SETOF idemdb.row_result",
        "release(p_scope text, p_key text, p_claim_token bigint, p_error text DEFAULT NULL::text) "
        "returns timestamp with time zone",
        "renew(p_scope text, p_key text, p_claim_token bigint, p_lease interval) returns timestamp with time zone",
        "resolve(p_scope text, p_key text, p_action text, p_note text, p_answer jsonb DEFAULT NULL::jsonb) returns text",
        "sweep(p_limit integer DEFAULT 10000) returns SETOF idemdb.sweep_result",
        "version() returns integer",
    ]
