"""A database of the benchmark's own: idemdb, the floor's table, and keys that have an answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from idemdb import resources, row_helpers
from idemdb.alembic import install
from idemdb.bench.cases import KEY_TAIL, PARAMETERS, STORED

_TABLES = """
create schema bench;
create function bench.echo(p_args jsonb) returns jsonb language plpgsql as $$ begin return p_args; end $$;
create table bench.payments (
    id bigint generated always as identity primary key, key text not null, amount integer not null
);
create sequence bench.batches;
create table bench.seen (
    consumer text collate "C", event_id text collate "C", forget_at timestamptz not null,
    primary key (consumer, event_id)
) with (autovacuum_enabled = false);
create table bench.items (
    id bigint generated always as identity primary key, sku text not null, title text not null,
    amount integer not null, constraint items_sku_key unique (sku)
) with (fillfactor = 70, autovacuum_enabled = false);
create table bench.floor_items (like bench.items including all)
with (fillfactor = 70, autovacuum_enabled = false);
-- Nothing may run beside the measurement.
alter table idemdb.keys set (autovacuum_enabled = false);
alter table idemdb.inbox set (autovacuum_enabled = false);
create table bench.floor (like idemdb.keys including all) with (fillfactor = 70, autovacuum_enabled = false);
alter table bench.floor
    alter claim_token set default 1780000000000000,
    alter completed_at set default clock_timestamp(),
    alter replay_until set default clock_timestamp() + interval '24 hours',
    alter forget_at set default clock_timestamp() + interval '30 days';
"""
_FILL = f"""
do $$
begin
    for v_number in 1..{len(STORED)} loop
        perform idemdb.execute(
            '{PARAMETERS["scope"]}', {STORED[0]} - 1 + v_number || '{KEY_TAIL}',
            'bench.echo', '{PARAMETERS["request"]}'
        );
        if v_number % 500 = 0 then
            commit;
        end if;
    end loop;
end
$$
"""
_EVENTS = f"""
with event as (
    insert into bench.seen select 'billing', n || '{KEY_TAIL}', clock_timestamp() + interval '30 days'
    from generate_series({STORED[0]}, {STORED[-1]}) as n returning event_id
)
select count(*) from idemdb.process_many('billing', array(select event_id from event))
"""
_ITEMS = f"""
with item as (
    insert into bench.items (sku, title, amount) select n || '{KEY_TAIL}', 'A thing', 0
    from generate_series({STORED[0]}, {STORED[-1]}) as n returning sku, title, amount
)
insert into bench.floor_items (sku, title, amount) select sku, title, amount from item
"""


@contextmanager
def scratch(dsn: str) -> Iterator[str]:
    """Make a database beside the one of the DSN, fill it, give its DSN, and drop it.

    :param dsn: of a role that may create databases.
    """
    name = f"idemdb_bench_{os.getpid()}"
    database = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute(sql.SQL("create database {} template template0").format(database))
        try:
            own = make_conninfo(dsn, dbname=name)
            _prepare(own)
            yield own
        finally:
            server.execute(sql.SQL("drop database {} with (force)").format(database))


def _prepare(dsn: str) -> None:
    """Install idemdb and fill its table and the floor's with the same rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(install.script(0, resources.latest(), roles=False).encode())
        connection.execute(_TABLES)
        connection.execute(_FILL.encode())
        connection.execute("insert into bench.floor select * from idemdb.keys")
        connection.execute(_EVENTS.encode())
        connection.execute(_ITEMS.encode())
        row_helpers.create(
            row_helpers.of_psycopg(connection), "items", "items_sku_key", ["put"], schema="bench"
        )
        connection.execute("vacuum analyze")
