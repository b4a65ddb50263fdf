"""Users' projects, with idemdb from the built wheel in a virtual environment of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from idemdb.embedded import packaged_bindir

CHECKOUT = Path(__file__).parents[2]
# Without what would lead past the wheel, or past the project's own files.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ALEMBIC_CONFIG")
}


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Project:
    """A folder in which a user runs commands.

    :param folder: the working directory of every command.
    :param python: the interpreter of the virtual environment.
    :param dsn: the project's database.
    """

    folder: Path
    python: Path
    dsn: str

    def start(self, *command: str | Path, text: str | None = None) -> subprocess.Popen[str]:
        """Start a command whose output is captured.

        :param command: program and arguments.
        :param text: its standard input.
        """
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**_ENVIRONMENT, "IDEMDB_DSN": self.dsn},
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str | Path, text: str | None = None, code: int | None = 0) -> str:
        """Run a command, and return what it wrote to both streams.

        :param command: program and arguments.
        :param text: its standard input.
        :param code: the exit code that it must have, None for any.
        """
        with self.start(*command, text=text) as process:
            output, errors = process.communicate(text, timeout=120)
        assert code in (None, process.returncode), output + errors
        return output + errors

    def alembic(self, *arguments: str, code: int = 0) -> str:
        """Run alembic."""
        return self.run(self.python, "-W", "error", "-m", "alembic", *arguments, code=code)

    def idemdb(self, *arguments: str, code: int | None = 0) -> str:
        """Run idemdb; it never ends with a traceback."""
        output = self.run(self.python.with_name("idemdb"), *arguments, code=code)
        assert "Traceback" not in output
        return output

    def start_alembic(self, layout: str = "generic", driver: str = "psycopg") -> None:
        """Make the Alembic project as its documentation says.

        :param layout: the template of ``alembic init``.
        :param driver: of SQLAlchemy.
        """
        made = self.python.parents[1] / "layouts" / layout
        if not made.exists():
            self.alembic("init", "--template", layout, "alembic")
            # For the tests to come: each start of Python counts. In one step, as other workers look at it.
            shutil.copytree(self.folder, own := made.with_name(f"{layout}-{os.getpid()}"))
            with contextlib.suppress(OSError):
                own.rename(made)
        shutil.copytree(made, self.folder, dirs_exist_ok=True)
        url = self.dsn.replace("postgresql://", f"postgresql+{driver}://")
        self.edit(
            "alembic.ini", "sqlalchemy.url = driver://user:pass@localhost/dbname", f"sqlalchemy.url = {url}"
        )

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file that must be there.

        :param file: its path in the project.
        :param old: the piece.
        :param new: what takes its place.
        """
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def version(self) -> int | None:
        """Return the release that is installed in the database, None without a schema."""
        with psycopg.connect(self.dsn) as conn:
            there = conn.execute("select to_regnamespace('idemdb') is not null").fetchone()
            if there == (False,):
                return None
            row = conn.execute("select idemdb.version()").fetchone()
            assert row
            return int(row[0])

    def claim(self) -> None:
        """Use a key, so that there is something to forget."""
        with psycopg.connect(self.dsn) as conn:
            conn.execute("select outcome from idemdb.claim('shop', 'one', '\\x')")

    def revision(self, output: str) -> str:
        """Return the revision that `idemdb init` said it wrote."""
        match = re.search(r"Wrote (\S+)", output)
        assert match
        found = re.search(r"^revision.*= '(\w+)'", (self.folder / match[1]).read_text(), re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the interpreter of a virtual environment with the wheel; all workers share one."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / "venv"
    interpreter = folder / "bin" / "python"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make_environment(folder, interpreter)
    return interpreter


def _make_environment(folder: Path, interpreter: Path) -> None:
    dist = folder.with_name("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, CHECKOUT)
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    (wheel,) = dist.glob("*.whl")
    _run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-index", wheel)
    # Dependencies come from the environment of the tests, after the wheel on the path.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "ready").touch()


@pytest.fixture
def project(tmp_path: Path, python: Path, empty_dsn: str) -> Project:
    """Return an empty project with a database without idemdb."""
    return Project(tmp_path, python, empty_dsn)


@pytest.fixture(scope="session")
def psql() -> Path:
    """Return the program psql."""
    return packaged_bindir() / "psql"
