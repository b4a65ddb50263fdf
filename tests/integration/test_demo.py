"""The demo as a user runs it: its numbers, its exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from idemdb.cli.main import main
from idemdb.demo import ledger
from tests.support.database import Server

IDEMDB = Path(sys.executable).with_name("idemdb")
SECONDS = 120
MARK = "IDEMDB_TEST_MARK"

# Small, but with every kind of repeat: three clicks, a late one, another amount, another user.
REQUESTS = [
    {"scope": scope, "key": key, "amount": amount, "currency": "EUR"}
    for scope, key, amount in [
        *[("ann/pay", "k1", 500)] * 3,
        ("bob/pay", "k1", 700),
        *[(f"ann/pay {number}", "k", 100) for number in range(30)],
        ("ann/pay", "k1", 500),
        ("bob/pay", "k1", 900),
    ]
]


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(request) + "\n" for request in REQUESTS))
    return path


@pytest.fixture
def owner(server: Server) -> Iterator[str]:
    """Return the DSN of an ordinary role that may create databases; it must have none in the end."""
    name, password = f"demo_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(f"create role {name} login createdb password '{password}'".encode())
        try:
            yield make_conninfo(server.dsn, user=name, password=password)
            assert (
                conn.execute("select datname from pg_database where datdba = %s::regrole", [name]).fetchall()
                == []
            )
        finally:
            for (left,) in conn.execute("select datname from pg_database where datdba = %s::regrole", [name]):
                conn.execute(f"drop database {left} with (force)".encode())
            conn.execute(f"drop role {name}".encode())


def demo(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(IDEMDB), "demo", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == code, run.stderr
    return run


def test_its_own_server_and_payments(monkeypatch: pytest.MonkeyPatch) -> None:
    # A database that was not named on the command line is none of the demo's business.
    monkeypatch.setenv("IDEMDB_DSN", "host=127.0.0.1 port=1")
    monkeypatch.setenv("PGPORT", "1")
    run = demo("--json")
    found = json.loads(run.stdout)
    plain = found["without"]
    for side in (found, plain):
        assert side["requests"] == side["charges"] + side["replays"] + side["refused"] > 300
        assert side["payments"] < side["requests"]
        assert (side["crashes"], side["cuts"], side["lost"]) == (11, 11, 0)
        assert side["ms_per_request"] > 0
    assert found["charges"] == found["payments"] == plain["payments"]
    assert found["double_charges"] == found["charges_by_resends"] == 0
    assert found["refused"] == 10
    # Without idemdb each request charges, and once more where the fault came after COMMIT.
    assert plain["charges"] == plain["requests"] == found["requests"]
    assert plain["charges_by_resends"] == 11
    assert plain["double_charges"] > 50
    assert "installed by its migrations" in run.stderr


def test_a_server_and_payments_of_the_users_own(owner: str, requests: Path) -> None:
    run = demo("--dsn", owner, "--input", requests, "--workers", 2, "--seed", 3)
    assert run.stderr == ""
    assert "For example ann" not in run.stdout  # four clicks, not three
    assert "With idemdb every payment was charged exactly once" in run.stdout
    rows = {line[:40].strip(): line.split()[-2:] for line in run.stdout.splitlines() if line.strip()}
    assert rows["requests"] == ["36", "36"]
    assert rows["refused: same key, another amount"] == ["1", "0"]
    assert rows["payments charged twice or more"][0] == "0"


def test_wrong_input(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps(REQUESTS[0]) + "\n{}\n")
    run = demo("--input", path, code=2)
    assert "line 2: scope is missing" in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--input", "nowhere.jsonl"], ["--seed", "x"]])
def test_wrong_usage(arguments: list[str]) -> None:
    demo(*arguments, code=2)


def test_no_server() -> None:
    run = demo("--dsn", "host=127.0.0.1 port=1 user=me password=secret", code=3)
    assert run.stderr.startswith("Error: ")
    assert "secret" not in run.stderr


def test_tls_is_not_silently_given_up(owner: str) -> None:
    assert "insists on TLS" in demo("--dsn", make_conninfo(owner, sslmode="require"), code=3).stderr


def test_a_role_that_may_not_create_databases(owner: str, server: Server) -> None:
    with psycopg.connect(owner) as conn:
        name = conn.info.user
    with psycopg.connect(server.dsn) as conn:
        conn.execute(f"alter role {name} nocreatedb".encode())
    assert f"alter role {name} createdb" in demo("--dsn", owner, code=3).stderr


@pytest.mark.parametrize(("flaw", "code"), [({}, 0), ({"double_charges": 1}, 1), ({"lost": 1}, 1)])
def test_the_exit_code_tells_a_broken_promise(
    owner: str, requests: Path, flaw: dict[str, int], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_count: Callable[..., Any] = ledger.count
    monkeypatch.setattr(ledger, "count", lambda *about: replace(true_count(*about), **flaw))
    result = CliRunner().invoke(main, ["demo", "--dsn", owner, "--input", str(requests), "--workers", "1"])
    assert result.exit_code == code, result.output
    assert ("charged exactly once" in result.output) is not bool(code)


def marked(mark: str) -> list[str]:
    """Return the command lines of all processes that were started under a mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # another user's, or gone
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_when_it_is_stopped(number: signal.Signals) -> None:
    mark = secrets.token_hex(8)
    command = [str(IDEMDB), "demo"]
    environment = {**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        until_a_fault(process)
        running = marked(mark)
        assert any("idemdb.demo.worker" in line for line in running)
        assert any("postgres" in line for line in running)
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == (-number if number == signal.SIGKILL else 1)
    assert number == signal.SIGKILL or errors.strip() == "Aborted!"
    deadline = time.monotonic() + 30
    while marked(mark) and number == signal.SIGKILL and time.monotonic() < deadline:
        time.sleep(0.05)  # the server and the workers notice by themselves
    assert marked(mark) == []


def test_the_database_is_dropped_when_it_is_stopped(owner: str) -> None:
    command = [str(IDEMDB), "demo", "--dsn", owner]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        until_a_fault(process)
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 1


def until_a_fault(process: subprocess.Popen[str]) -> None:
    """Return in the middle of the run."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("⚡"):
            return
    raise AssertionError("it ended too early")
