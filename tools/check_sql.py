"""Parse every SQL file with PostgreSQL's own parser, the bodies of functions included.

    python -m tools.check_sql

Needs no server. Finds syntax errors only; names are checked when the tests install the files.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pglast

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = re.compile(r"\b(app|canary|idemdb)\.")
ARRAYS = re.compile(r"\bidemdb\.\w+\[\]")
FOLDERS = ("sql", "migrations", "examples", "benchmarks", "tests")


def problem(file: Path) -> str | None:
    """Return what is wrong with ``file``, None if nothing is."""
    text = file.read_text()
    try:
        statements = pglast.split(text)
        for statement in statements:
            if "language plpgsql" in statement.lower() or statement.lower().startswith("do "):
                # The parser looks up declared types: any name in public will do, but no array of it.
                pglast.parse_plpgsql(SCHEMAS.sub("public.", ARRAYS.sub("text[]", statement)))
    except pglast.parser.ParseError as error:
        return f"{file.relative_to(ROOT)}: {error}"
    return None


def main() -> int:
    """Check all files and print the problems; return the exit code."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.sql"))]
    # Files for psql hold its own commands, which start with a backslash.
    files = [
        file for file in files if not any(line.startswith("\\") for line in file.read_text().splitlines())
    ]
    problems = list(filter(None, map(problem, files)))
    print("\n".join([*problems, f"{len(files)} SQL files parsed, {len(problems)} with errors"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
