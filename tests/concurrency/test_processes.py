"""Fifty processes click with the same key at once: one execution, fifty equal answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from idemdb.embedded import EmbeddedError, packaged_bindir
from tests.support.database import Server

from .waits import PATIENCE, until

CLICKS = 50
GATE = 4711

SETUP = """
    create table public.charge (id uuid primary key default pg_catalog.gen_random_uuid());
    create function public.charge(p_request jsonb) returns jsonb language sql as $$
        insert into public.charge default values returning pg_catalog.jsonb_build_object('charge', id)
    $$;
"""

PASS_THE_GATE = f"""
\\set ON_ERROR_STOP on
\\set QUIET on
\\pset tuples_only on
\\pset format unaligned
select pg_catalog.pg_advisory_lock_shared({GATE}) \\g /dev/null
select pg_catalog.pg_advisory_unlock_shared({GATE}) \\g /dev/null
"""

CLAIM_IN_PSQL = """
begin;
select outcome, claim_token, result, outcome = 'started' as mine
  from idemdb.claim('ann:pay', 'click', idemdb.fingerprint('{"amount": 500}'), p_wait => '60 s') \\gset
\\if :mine
    insert into public.charge default values
    returning pg_catalog.jsonb_build_object('charge', id) as result \\gset
    select idemdb.complete('ann:pay', 'click', :claim_token, p_result => :'result'::jsonb) \\g /dev/null
\\endif
commit;
select pg_catalog.jsonb_build_array(:'outcome', :'result'::jsonb);
"""

EXECUTE_IN_PSQL = """
select pg_catalog.jsonb_build_array(outcome, result)
  from idemdb.execute('ann:pay', 'click', 'public.charge', '{"amount": 500}', p_wait => '60 s');
"""


def psql(server: Server) -> Path:
    """Find psql: of the server's release, else the packaged one, else any."""
    places = [server.bindir] if server.bindir else []
    try:
        places.append(packaged_bindir())
    except EmbeddedError:
        pass
    for place in places:
        if (place / "psql").exists():
            return place / "psql"
    if anywhere := shutil.which("psql"):
        return Path(anywhere)
    pytest.skip("there is no psql")


def click_together(dsn: str, commands: list[list[str]], script: str = "") -> list[tuple[str, object]]:
    """Start the processes, let them go when all stand at the gate, and return outcome and answer of each.

    :param script: what each command reads.
    """
    at_the_gate = """
        select count(*) = %s from pg_catalog.pg_locks
         where locktype = 'advisory' and objid = %s and not granted
    """
    with psycopg.connect(dsn, autocommit=True) as connection, ExitStack() as stack:
        connection.execute(SETUP)
        connection.execute("select pg_catalog.pg_advisory_lock(%s)", [GATE])
        processes = []
        for command in commands:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            processes.append(process)
            assert process.stdin is not None
            process.stdin.write(script)
            process.stdin.flush()
        until(
            lambda: connection.execute(at_the_gate, [CLICKS, GATE]).fetchone() == (True,),
            "all have come",
            4 * PATIENCE,
        )
        connection.execute("select pg_catalog.pg_advisory_unlock(%s)", [GATE])
        lines = [line for process in processes for line in process.communicate(timeout=120)[0].splitlines()]
        assert [process.returncode for process in processes] == [0] * len(processes)
    return [(outcome, answer) for outcome, answer in map(json.loads, lines)]


def assert_charged_once(dsn: str, answers: list[tuple[str, object]]) -> None:
    with psycopg.connect(dsn) as connection:
        charges = [str(charge) for (charge,) in connection.execute("select id from public.charge")]
    assert len(charges) == 1
    assert Counter(outcome for outcome, _ in answers) == {"started": 1, "replayed": CLICKS - 1}
    assert [answer for _, answer in answers] == [{"charge": charges[0]}] * CLICKS


@pytest.mark.parametrize("way", ["run", "execute"])
def test_fifty_python_processes(dsn: str, way: str) -> None:
    command = [sys.executable, "-m", "tests.concurrency.clicker", dsn, str(GATE), way, str(CLICKS)]
    answers = click_together(dsn, [command])
    assert_charged_once(dsn, answers)


@pytest.mark.parametrize("script", [CLAIM_IN_PSQL, EXECUTE_IN_PSQL], ids=["claim", "execute"])
def test_fifty_psql_processes(dsn: str, server: Server, script: str) -> None:
    command = [str(psql(server)), "-X", dsn]
    answers = click_together(dsn, [command] * CLICKS, PASS_THE_GATE + script)
    assert_charged_once(dsn, answers)
