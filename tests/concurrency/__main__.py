"""Explore programs, or replay one interleaving: ``python -m tests.concurrency --help``."""

from __future__ import annotations

import argparse
import sys

import psycopg

from .explorer import READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, explore, replay
from .programs import SETUP, programs


def main() -> int:
    """Run what the command line asks for.

    :returns: 1 if a check found a violation.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.concurrency", description=__doc__)
    parser.add_argument("--dsn", required=True, help="a database with idemdb, as a superuser")
    parser.add_argument("--program", help="name of a program; all of them by default")
    parser.add_argument("--schema", default="idemdb", help="of the protocol: idemdb or canary")
    parser.add_argument(
        "--isolation", default=READ_COMMITTED, choices=[READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE]
    )
    parser.add_argument("--sample", type=int, help="how many interleavings to draw; all of them by default")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--replay", metavar="ID", help="the interleaving to run again, with --program")
    options = parser.parse_args()
    with psycopg.connect(options.dsn) as connection:
        found = connection.execute("select pg_catalog.to_regclass('public.effect')").fetchone()
        if found == (None,):
            connection.execute(SETUP)
    known = programs(options.schema, snapshot=options.isolation != READ_COMMITTED)
    chosen = [known[options.program]] if options.program else list(known.values())
    role = "idemdb_user" if options.schema == "idemdb" else None
    wrong = 0
    for program in chosen:
        if options.replay:
            run, found_wrong = replay(
                program, options.dsn, options.replay, isolation=options.isolation, role=role
            )
            print(*run.events, *found_wrong, sep="\n")
            wrong += len(found_wrong)
            continue
        report = explore(
            program,
            options.dsn,
            isolation=options.isolation,
            role=role,
            sample=options.sample,
            seed=options.seed,
        )
        print(report, *report.violations, sep="\n", flush=True)
        wrong += len(report.violations)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
