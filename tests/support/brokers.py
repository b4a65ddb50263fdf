"""Real message brokers for tests: servers of Debian's packages, on loopback, in temporary folders."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.concurrency.waits import until

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/rabbitmq/bin"])

# One scheduler that does not spin while it waits, and nothing but loopback.
_ERLANG = ("+S 1:1", "+sbwt none", "-kernel inet_dist_use_interface {127,0,0,1}")


def program(name: str, package: str) -> str:
    """Find a program; install its package where that is wanted (CI, IDEMDB_INSTALL=1), or skip the test."""
    if found := shutil.which(name, path=_PLACES):
        return found
    wanted = os.environ.get("CI") or os.environ.get("IDEMDB_INSTALL") == "1"
    if not wanted or os.geteuid() or not shutil.which("apt-get"):
        pytest.skip(f"there is no {name}; as root on Debian, IDEMDB_INSTALL=1 installs {package}")
    # RUNLEVEL=1 keeps the package from starting a server of its own.
    quietly = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    options = ["-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    done = subprocess.run(
        ["apt-get", "install", *options, package], env=quietly, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{package} cannot be installed: {done.stderr.decode().strip()[-300:]}")
    return program(name, package)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _running(command: list[str], log: Path, port: int, **environment: str) -> Iterator[None]:
    """Run a server in a session of its own until the end; wait until it listens."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: _answers(port) or server.poll() is not None, f"{command[0]} listens", patience=60)
        assert server.poll() is None, log.read_text()
        yield
    finally:
        # Its whole process group: a server in Erlang has helpers.
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run Redis; give its URL."""
    command, port = program("redis-server", "redis-server"), free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with _running([command, *options], folder / "log", port):
        yield f"redis://127.0.0.1:{port}/"


@contextmanager
def rabbitmq_server(folder: Path) -> Iterator[str]:
    """Run RabbitMQ, with a port mapper of its own, so that nothing is left behind; give its URL."""
    # Not Debian's wrapper in /usr/sbin, which insists on the system's folders and user.
    server = program("rabbitmq-server-wait", "rabbitmq-server")
    server = str(Path(server).with_name("rabbitmq-server"))
    mapper, mapper_port, port = program("epmd", "erlang-base"), free_port(), free_port()
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    environment = {
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"idemdb{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(_ERLANG),
    }
    mapping = [mapper, "-port", str(mapper_port), "-address", "127.0.0.1"]
    with _running(mapping, folder / "mapper.log", mapper_port):
        with _running([server], folder / "server.log", port, **environment):
            yield f"amqp://guest:guest@127.0.0.1:{port}/"
