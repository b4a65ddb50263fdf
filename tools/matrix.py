"""Run the tests of the database on several major versions of PostgreSQL, one after the other.

    python -m tools.matrix 15 16 17 18 -- -k claim

What follows ``--`` goes to pytest. Fails when a major fails or cannot be had, after trying the others.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

from tools import postgresql

PATHS = ("tests/sql", "tests/concurrency", "tests/migration")


def run(major: int, options: list[str]) -> tuple[bool, str]:
    """Run the tests on one major; return whether they passed, and pytest's last line."""
    try:
        bindir = postgresql.bindir(major)
    except SystemExit as error:
        return False, str(error)
    print(f"\nPostgreSQL {major}: {bindir}", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", "2", *options, *PATHS]
    environment = os.environ | {"IDEMDB_TEST_BINDIR": str(bindir)}
    last = ""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return tests.returncode == 0, last


def main(arguments: list[str]) -> int:
    """Run all majors and print a line for each; return the exit code."""
    majors = list(itertools.takewhile(lambda argument: argument != "--", arguments))
    results = {major: run(int(major), arguments[len(majors) + 1 :]) for major in majors}
    print()
    for major, (passed, last) in results.items():
        print(f"PostgreSQL {major} {'passed' if passed else 'FAILED'}: {last}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
