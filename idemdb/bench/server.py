"""The server's side: pgbench with prepared statements, commits that do not wait for the disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb.bench.cases import PARAMETERS, Operation
from idemdb.embedded import EmbeddedMissing, packaged_bindir

_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


def find_pgbench() -> Path | None:
    """Return a pgbench: the extra ``embedded``'s, else the one on PATH, else None."""
    try:
        return packaged_bindir() / "pgbench"
    except EmbeddedMissing:
        found = shutil.which("pgbench")
        return Path(found) if found else None


def rate(pgbench: Path, dsn: str, operation: Operation, clients: int, seconds: float) -> float:
    """Return how many operations a second pgbench does.

    :param pgbench: the program.
    :param dsn: of the benchmark's database.
    :param operation: a single statement.
    :param clients: how many connections work at the same time.
    :param seconds: for how long, at least one.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(operation.for_pgbench())
        script.flush()
        command = [str(pgbench), "--no-vacuum", "--protocol=prepared", f"--file={script.name}"]
        command += [f"--client={clients}", f"--jobs={min(clients, os.cpu_count() or 1)}"]
        command += [f"--time={max(1, round(seconds))}"]
        command += [f"--define={name}={value}" for name, value in PARAMETERS.items()]
        where = conninfo_to_dict(dsn)
        environment = os.environ | {"PGOPTIONS": "-c synchronous_commit=off", "LC_ALL": "C"}
        # Not as an argument, which every user of the machine can see.
        environment["PGPASSWORD"] = str(where.pop("password", os.environ.get("PGPASSWORD", "")))
        command.append(make_conninfo(**where))  # type: ignore[arg-type]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = _RATE.search(done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"pgbench failed:\n{done.stderr}")
    return float(found.group(1))
