"""The commands about keys, and how every command fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb.cli.common import parse_dsn
from idemdb.cli.main import main
from idemdb.resources import latest
from idemdb.testing import age_key

Run = Callable[..., str]


def invoke(dsn: str, *arguments: str, code: int = 0, text: str | None = None) -> str:
    """Run a command, and return what it wrote to both streams."""
    result = CliRunner().invoke(main, arguments, input=text, env={"IDEMDB_DSN": dsn})
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def run(dsn: str) -> Run:
    """Return a function that runs a command against a database with idemdb."""
    return lambda *arguments, **how: invoke(dsn, *arguments, **how)


def claim(dsn: str, key: str = "one", *, lease: str | None = None, abandoned: str = "retry") -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "select claim_token from idemdb.claim('shop', %s, '\\x', %s::interval, null, %s::jsonb)",
            [key, lease, json.dumps({"abandoned": abandoned}) if lease else None],
        ).fetchone()
    assert row
    return int(row[0])


def age(dsn: str, by: timedelta, key: str = "one") -> None:
    with psycopg.connect(dsn) as conn:
        age_key(conn, "shop", key, by)


def count(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("select count(*) from idemdb.keys").fetchone()
    assert row
    return int(row[0])


class TestDsn:
    """Ways to name a database."""

    @pytest.mark.parametrize(
        "value",
        [
            "postgresql://me:secret@h:1/db",
            "postgres://me:secret@h:1/db",
            "postgresql+psycopg://me:secret@h:1/db",
            "postgresql+asyncpg://me:secret@h:1/db",
            "host=h port=1 user=me password=secret dbname=db",
        ],
    )
    def test_spellings(self, value: str) -> None:
        parsed = conninfo_to_dict(parse_dsn(value))
        wanted = {"host": "h", "port": "1", "user": "me", "password": "secret", "dbname": "db"}
        assert wanted.items() <= parsed.items()

    def test_nonsense_does_not_show_the_password(self) -> None:
        with pytest.raises(click.UsageError) as caught:
            parse_dsn("host=h password=secret nonsense=1")
        assert "secret" not in str(caught.value)

    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in list(os.environ):
            if name.startswith("PG"):
                monkeypatch.delenv(name)
        assert "IDEMDB_DSN" in invoke("", "stats", code=2)
        monkeypatch.setenv("PGDATABASE", "shop")
        assert "dbname" not in conninfo_to_dict(parse_dsn(None))  # libpq reads it itself

    def test_the_option_wins(self, dsn: str) -> None:
        invoke("host=nowhere.invalid", "stats", "--dsn", dsn)


class TestFailures:
    """Messages instead of tracebacks."""

    @pytest.mark.parametrize("command", [["stats"], ["current"], ["upgrade"], ["doctor"], ["sweep"]])
    def test_no_server(self, command: list[str]) -> None:
        output = invoke("host=127.0.0.1 port=1 user=me password=secret", *command, code=3)
        assert output.startswith("Error: ")
        assert "Hint: " in output
        assert "secret" not in output

    @pytest.mark.parametrize(
        "command", [["stats"], ["unresolved"], ["inspect", "a", "b"], ["sweep"], ["forget", "a", "--yes"]]
    )
    def test_no_schema(self, empty_dsn: str, command: list[str]) -> None:
        output = invoke(empty_dsn, *command, code=3)
        assert "Hint: " in output
        assert "idemdb upgrade" in output

    def test_no_right(self, dsn: str) -> None:
        name = "idemdb_cli_nobody"
        with psycopg.connect(dsn) as conn:
            conn.execute(
                f"do $$begin create role {name} login password 'x'; "
                "exception when duplicate_object or unique_violation then null; end$$"
            )
        limited = make_conninfo(dsn, user=name, password="x")
        assert "idemdb_admin" in invoke(limited, "sweep", code=3)

    def test_bad_arguments_are_refused_by_the_database(self, run: Run) -> None:
        output = run("inspect", "shop", "x" * 256, code=1)
        assert "Hint: " in output
        assert "xxxx" not in output

    def test_a_mistyped_command(self, run: Run) -> None:
        run("inspekt", code=2)


class TestInspect:
    """`idemdb inspect`."""

    @pytest.fixture(autouse=True)
    def _done(self, dsn: str) -> None:
        with psycopg.connect(dsn) as conn:
            row = conn.execute("select claim_token from idemdb.claim('shop', 'one', '\\x')").fetchone()
            assert row
            conn.execute(
                "select idemdb.complete('shop', 'one', %s, 201, null, 'private', %s, 'order 7')",
                [*row, '{"card": 4242}'],
            )

    def test_without_the_answer(self, run: Run) -> None:
        output = run("inspect", "shop", "one")
        assert "done" in output
        assert "201" in output
        assert "order 7" in output
        assert "4242" not in output
        assert b"private".hex() not in output

    def test_with_the_answer(self, run: Run) -> None:
        record = json.loads(run("inspect", "shop", "one", "--json", "--show-answer"))
        assert record["state"] == "done"
        assert record["result"] == {"card": 4242}
        assert bytes.fromhex(record["body"]) == b"private"

    def test_json_hides_the_answer_too(self, run: Run) -> None:
        assert not {"result", "body", "headers"} & set(json.loads(run("inspect", "shop", "one", "--json")))

    def test_an_unknown_key(self, run: Run) -> None:
        assert "unknown" in run("inspect", "shop", "two", code=1)


@pytest.mark.parametrize("key", ["[bold]", "a\x1b[2Jb", "tab\there"])
def test_a_key_cannot_drive_the_terminal(dsn: str, run: Run, key: str) -> None:
    claim(dsn, key, lease="10 s", abandoned="hold")
    age(dsn, timedelta(minutes=1), key)
    for output in (run("unresolved"), run("inspect", "shop", key)):
        assert "\x1b" not in output
        assert key.encode("unicode_escape").decode() in output
    assert json.loads(run("unresolved", "--json"))[0]["key"] == key


class TestResolve:
    """`idemdb unresolved` and `idemdb resolve`."""

    @pytest.fixture(autouse=True)
    def _unresolved(self, dsn: str) -> None:
        claim(dsn, lease="10 s", abandoned="hold")
        age(dsn, timedelta(minutes=1))

    def test_listed_until_resolved(self, run: Run) -> None:
        (row,) = json.loads(run("unresolved", "--json"))
        assert (row["scope"], row["key"]) == ("shop", "one")
        assert "one" in run("unresolved")
        assert "released" in run("resolve", "shop", "one", "retry", "--note", "it never arrived")
        assert run("unresolved") == "No unresolved keys.\n"
        assert json.loads(run("unresolved", "--json")) == []

    def test_completed_with_an_answer(self, run: Run) -> None:
        answer = json.dumps({"status": 200, "body_base64": "aGk=", "result": {"id": 1}, "reference": "ch_1"})
        state = run("resolve", "shop", "one", "completed", "--note", "seen", "--answer", answer, "--json")
        assert json.loads(state) == {"state": "done"}
        record = json.loads(run("inspect", "shop", "one", "--json", "--show-answer"))
        assert (record["status"], record["result"], record["reference"]) == (200, {"id": 1}, "ch_1")
        assert bytes.fromhex(record["body"]) == b"hi"

    @pytest.mark.parametrize("answer", ["{", "[1]", '{"colour": 1}', '{"body_base64": "%"}', "3"])
    def test_a_wrong_answer(self, run: Run, answer: str) -> None:
        run("resolve", "shop", "one", "completed", "--note", "seen", "--answer", answer, code=2)
        assert len(json.loads(run("unresolved", "--json"))) == 1

    def test_a_note_is_needed(self, run: Run) -> None:
        run("resolve", "shop", "one", "retry", code=2)

    def test_a_key_that_is_not_abandoned(self, dsn: str, run: Run) -> None:
        claim(dsn, "two")
        assert "Hint: " in run("resolve", "shop", "two", "retry", "--note", "why", code=1)


class TestForget:
    """`idemdb forget`."""

    def test_asks_first(self, dsn: str, run: Run) -> None:
        claim(dsn)
        run("forget", "shop", text="n\n", code=1)
        assert count(dsn) == 1
        assert "Forgot 1 key." in run("forget", "shop", text="y\n")
        assert count(dsn) == 0

    def test_one_key_or_a_scope(self, dsn: str, run: Run) -> None:
        for key in ("one", "two", "three"):
            claim(dsn, key)
        assert json.loads(run("forget", "shop", "one", "--yes", "--json")) == {"forgotten": 1}
        assert run("forget", "shop", "--yes") == "Forgot 2 keys.\n"


class TestSweep:
    """`idemdb sweep`."""

    def test_once(self, dsn: str, run: Run) -> None:
        claim(dsn)
        claim(dsn, "two")
        age(dsn, timedelta(days=40))
        removed = json.loads(run("sweep", "--json"))["removed"]
        assert sum(removed.values()) == 1
        assert count(dsn) == 1

    def test_several_transactions(self, dsn: str, run: Run) -> None:
        for number in range(7):
            claim(dsn, str(number))
            age(dsn, timedelta(days=40), str(number))
        run("sweep", "--limit", "2")
        assert count(dsn) == 0

    def test_waits_for_another_sweep(self, dsn: str, run: Run) -> None:
        claim(dsn)
        age(dsn, timedelta(days=40))
        with ThreadPoolExecutor(1) as pool, psycopg.connect(dsn) as conn:
            conn.execute("select from idemdb.sweep_cursor for update")
            pool.submit(time.sleep, 0.3).add_done_callback(lambda _: conn.rollback())
            run("sweep")  # in this thread, as it listens to signals
        assert count(dsn) == 0

    @pytest.mark.parametrize("span", ["0s", "soon", "-1", "10y"])
    def test_wrong_spans(self, run: Run, span: str) -> None:
        run("sweep", "--every", span, code=2)

    def test_wrong_limit(self, run: Run) -> None:
        run("sweep", "--limit", "0", code=2)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stays_until_a_signal(self, dsn: str, number: signal.Signals) -> None:
        with _loop(dsn, "1h") as process:
            assert list(json.loads(_line(process.stdout))) == ["removed"]
            process.send_signal(number)
            assert process.wait(10) == 0

    def test_survives_a_lost_server(self, dsn: str, server: Any) -> None:
        name = conninfo_to_dict(dsn)["dbname"]
        with _loop(dsn, "0.1s") as process, psycopg.connect(server.dsn, autocommit=True) as conn:
            _line(process.stdout)
            conn.execute(f"alter database {name} allow_connections false".encode())
            assert "will try again" in _line(process.stderr)
            conn.execute(f"alter database {name} allow_connections true".encode())
            claim(dsn)
            age(dsn, timedelta(days=40))
            deadline = time.monotonic() + 20
            while count(dsn) and time.monotonic() < deadline:
                _line(process.stdout)
            assert count(dsn) == 0
            process.terminate()
            assert process.wait(10) == 0


@contextmanager
def _loop(dsn: str, every: str) -> Iterator[subprocess.Popen[str]]:
    command: list[str | Path] = [
        Path(sys.executable).with_name("idemdb"),
        "sweep",
        "--json",
        "--every",
        every,
    ]
    with subprocess.Popen(
        command,
        env={**os.environ, "IDEMDB_DSN": dsn, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(stream: Any) -> str:
    line = stream.readline()
    assert line, "the command has ended"
    return str(line)


def test_stats(dsn: str, run: Run) -> None:
    assert run("stats") == "No keys.\n"
    claim(dsn)
    claim(dsn, "two")
    claim(dsn, "three", lease="1 hour")
    rows = {row["state"]: row for row in json.loads(run("stats", "--json"))}
    assert {state: row["keys"] for state, row in rows.items()} == {"done": 2, "running": 1}
    assert "running" in run("stats")


class TestSchema:
    """The commands about the schema that need no project."""

    def test_sql_is_usable(self, empty_dsn: str) -> None:
        with psycopg.connect(empty_dsn) as conn:
            conn.execute(invoke("", "sql").encode())
        assert json.loads(invoke(empty_dsn, "current", "--json"))["version"] == latest()

    @pytest.mark.parametrize(
        "arguments", [["--to", "0"], ["--to", "99"], ["--from", "99"], ["--from", str(latest())]]
    )
    def test_wrong_releases(self, arguments: list[str]) -> None:
        invoke("", "sql", *arguments, code=2)

    def test_sql_without_roles(self) -> None:
        assert "idemdb_user" not in invoke("", "sql", "--no-roles")
        assert "idemdb_user" in invoke("", "sql")

    def test_doctor(self, empty_dsn: str, dsn: str) -> None:
        report = json.loads(invoke(empty_dsn, "doctor", "--json", code=1))
        assert report["ok"] is False
        assert "not installed" in invoke(empty_dsn, "doctor", code=1)
        with psycopg.connect(dsn) as conn:
            durable = conn.execute("show fsync").fetchone() == ("on",)
        assert "✓ schema" in invoke(dsn, "doctor", "--verbose", code=0 if durable else 1)
