"""Freeze the current tree of sql/ as the next release, or check that nothing frozen was touched.

A release is three files that never change once published: ``upgrade.sql`` (from the release before),
``downgrade.sql`` (back to it) and ``roles.sql``. They are put together from the object files in the order of
``sql/install.sql``; what an upgrade has to do to tables that hold data is written by hand in
``sql/changes/NNNN-up.sql`` and ``NNNN-down.sql``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

SQL = Path(__file__).resolve().parent.parent / "sql"
RELEASES = SQL / "releases"
SUMS = RELEASES / "SHA256SUMS"
SECTION = "-- file: "


def object_files() -> list[str]:
    """Return the object files of the current tree in the order of installation."""
    lines = (SQL / "install.sql").read_text().splitlines()
    files = [line.removeprefix(r"\ir ").strip() for line in lines if line.startswith(r"\ir ")]
    return [file for file in files if file != "roles.sql"]


def frozen_objects(before: int) -> dict[str, str]:
    """Return each object's text as the releases below ``before`` left it, by file."""
    objects: dict[str, str] = {}
    for number in range(1, before):
        text = (RELEASES / f"{number:04d}" / "upgrade.sql").read_text()
        for section in re.split(f"^{SECTION}", text, flags=re.MULTILINE)[1:]:
            file, _, body = section.partition("\n")
            objects[file] = body.strip().replace("create or replace ", "create ", 1)
    return objects


def section(file: str, text: str, *, replace: bool = False) -> str:
    """Return one object as a section of an upgrade or downgrade."""
    if replace:
        if not file.startswith(("functions/", "views/")):
            raise SystemExit(
                f"{file} changed: write what happens to it in sql/changes and freeze it again there"
            )
        text = re.sub(r"^create (function|view)", r"create or replace \1", text, count=1, flags=re.MULTILINE)
    return f"{SECTION}{file}\n{text.strip()}\n"


def change(number: int, direction: str) -> list[str]:
    """Return the hand-written part of a release, if it has one."""
    path = SQL / "changes" / f"{number:04d}-{direction}.sql"
    return [path.read_text()] if path.exists() else []


def build(number: int) -> dict[str, str]:
    """Return the files of release ``number`` by name."""
    old = frozen_objects(number)
    new = {file: (SQL / file).read_text().strip() for file in object_files()}
    hand_written = set(re.findall(rf"^{SECTION}(\S+)", "".join(change(number, "up")), flags=re.MULTILINE))

    up = change(number, "up")
    down = change(number, "down")
    for file, text in new.items():
        if file not in old:
            up.append(section(file, text))
        elif old[file] != text and file not in hand_written:
            up.append(section(file, text, replace=True))
    for file, text in reversed(new.items()):
        kind, name = Path(file).parent.name.removesuffix("s"), Path(file).stem
        if file not in old and kind:
            down.append(f"drop {kind} idemdb.{name};\n")
        elif file in old and old[file] != text and file not in hand_written:
            down.append(section(file, old[file], replace=True))
    return {
        "upgrade.sql": "\n".join(up),
        "downgrade.sql": "\n".join(down),
        "roles.sql": (SQL / "roles.sql").read_text(),
    }


def sums() -> str:
    """Return the checksums of all released files, in the format of sha256sum."""
    files = sorted(RELEASES.glob("[0-9]*/*.sql"))
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(RELEASES)}\n" for file in files
    )


def main() -> None:
    """Freeze a release (``make release``) or check the frozen ones (``make check``)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "number", type=int, nargs="?", help="release to freeze; without it the sums are checked"
    )
    arguments = parser.parse_args()
    if arguments.number is None:
        if SUMS.read_text() != sums():
            sys.exit("a released file differs from SHA256SUMS: released SQL is frozen, make a new release")
        return
    if f"return {arguments.number};" not in (SQL / "functions" / "version.sql").read_text():
        sys.exit(f"version.sql does not say {arguments.number}: an older release stays as it is")
    folder = RELEASES / f"{arguments.number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in build(arguments.number).items():
        (folder / name).write_text(text)
    SUMS.write_text(sums())


if __name__ == "__main__":
    main()
