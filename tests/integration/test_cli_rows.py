"""`idemdb helpers` against PostgreSQL."""

from __future__ import annotations

import json

import psycopg
from click.testing import CliRunner, Result

from idemdb.cli.main import main


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["helpers", *words])
    assert result.exit_code == code, result.output
    return result


def test_add_list_and_drop(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("create table users (email text constraint users_email_key unique, name text)")
    about = ("users", "users_email_key", "--dsn", dsn)
    printed = run("add", *about, "--verb", "put", "--sql").output
    assert "users_put_by_email_key" in printed
    assert json.loads(run("list", "--dsn", dsn, "--json").output) == []
    assert "users_put_by_email_key" in run("add", *about, "--verb", "put").output
    (listed,) = json.loads(run("list", "--dsn", dsn, "--json").output)
    assert (listed["verb"], listed["stale"]) == ("put", None)
    dropped = json.loads(run("drop", *about, "--json").output)
    assert dropped == {"dropped": ["public.users_put_by_email_key"]}
    assert "No such helpers" in run("drop", *about).output
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(printed.encode())
    assert len(json.loads(run("list", "--dsn", dsn, "--json").output)) == 1


def test_a_key_that_is_not_there(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("create table users (email text constraint users_email_key unique)")
    result = run("add", "users", "nothing", "--dsn", dsn, code=1)
    assert "users_email_key" in result.stderr
