"""A newcomer follows the README or the tutorial, in a folder of their own and with the built wheel."""

from __future__ import annotations

from pathlib import Path

import psycopg

from idemdb.resources import latest
from tests.docs.pages import ROOT, Shell, outputs
from tests.migration.conftest import Project


def _follow(page: Path, project: Project, psql: Path, *commands: str) -> int:
    """Run the page; return how many outputs it shows."""
    shell = Shell(project.dsn, psql, project.folder, project.python, commands)
    compared = 0
    for where, shown, got in outputs(page, shell):
        assert got == shown, where
        compared += 1
    return compared


def test_tutorial(project: Project, psql: Path) -> None:
    assert _follow(ROOT / "docs/tutorial/first-key.md", project, psql, "python", "idemdb") == 6
    assert project.version() == latest()


def test_readme_in_a_project_with_alembic(project: Project, psql: Path) -> None:
    project.start_alembic()
    # The section on installing comes after the example, which needs it.
    commands = [
        line.removeprefix("$ ").split("  #")[0].split()
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith(("$ idemdb ", "$ alembic "))
    ]
    assert commands == [["idemdb", "init"], ["alembic", "upgrade", "head"]]
    project.idemdb("init")
    project.alembic("upgrade", "head")
    assert _follow(ROOT / "README.md", project, psql, "python") == 3
    with psycopg.connect(project.dsn) as conn:
        assert conn.execute("select count(*) from payments").fetchone() == (2,)
