"""Install with the Alembic of an application."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from idemdb import resources
from tests.migration.conftest import Project

NEWEST = resources.latest()

LAYOUTS = [("generic", "psycopg"), ("generic", "psycopg2"), ("async", "asyncpg"), ("async", "psycopg")]


def test_the_project_uses_the_wheel(project: Project) -> None:
    where = project.run(project.python, "-c", "import idemdb; print('idemdb', idemdb.__file__)")
    assert str(project.python.parents[1]) in where


@pytest.mark.parametrize(("layout", "driver"), LAYOUTS)
def test_up_and_down(project: Project, layout: str, driver: str) -> None:
    project.start_alembic(layout, driver)
    project.idemdb("init")
    project.alembic("upgrade", "head")
    assert project.version() == NEWEST
    project.claim()

    refused = project.alembic("downgrade", "base", code=1)
    assert "remembered" in refused or "forget" in refused
    assert project.version() == NEWEST

    project.alembic("-x", "idemdb_force=yes", "downgrade", "base")
    assert project.version() is None


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_offline(project: Project, driver: str, psql: Path) -> None:
    project.start_alembic(driver=driver)
    revision = project.revision(project.idemdb("init"))
    up = project.alembic("upgrade", "head", "--sql")
    project.run(psql, "-v", "ON_ERROR_STOP=1", project.dsn, text=_sql(up))
    assert project.version() == NEWEST
    down = project.alembic("downgrade", f"{revision}:base", "--sql")
    project.run(psql, "-v", "ON_ERROR_STOP=1", project.dsn, text=_sql(down))
    assert project.version() is None


def _sql(output: str) -> str:
    """Leave out what Alembic logged."""
    return "\n".join(line for line in output.splitlines() if not line.startswith("INFO "))


def test_without_roles(project: Project) -> None:
    project.start_alembic()
    project.idemdb("init")
    assert "say yes or no" in project.alembic("-x", "idemdb_roles=0", "upgrade", "head", code=255)
    project.alembic("-x", "idemdb_roles=no", "upgrade", "head")
    with psycopg.connect(project.dsn) as conn:
        granted = conn.execute("select has_schema_privilege('idemdb_user', 'idemdb', 'usage')").fetchone()
    assert granted == (False,)


def test_several_deployments_at_once(project: Project) -> None:
    """With the lock that the how-to shows."""
    project.start_alembic()
    project.idemdb("init")
    project.edit(
        "alembic/env.py",
        "            context.run_migrations()",
        "            from sqlalchemy import text\n"
        '            connection.execute(text("select pg_advisory_xact_lock(4711)"))\n'
        "            context.run_migrations()",
    )
    processes = [project.start(project.python, "-m", "alembic", "upgrade", "head") for _ in range(3)]
    results = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [result for result in results if result[2]] == []
    assert project.version() == NEWEST


def test_another_database_is_refused(project: Project) -> None:
    project.start_alembic()
    project.idemdb("init")
    (project.folder / "alembic.ini").write_text(
        (project.folder / "alembic.ini")
        .read_text()
        .replace(f"postgresql+psycopg{project.dsn[10:]}", "sqlite://")
    )
    assert "needs PostgreSQL" in project.alembic("upgrade", "head", code=255)


class TestAutogenerate:
    """`alembic check` in a project that looks at all schemas."""

    @pytest.fixture(autouse=True)
    def _project(self, project: Project) -> None:
        project.start_alembic()
        project.idemdb("init")
        project.alembic("upgrade", "head")
        project.edit(
            "alembic/env.py",
            "target_metadata = None",
            "from sqlalchemy import MetaData\ntarget_metadata = MetaData()",
        )
        project.edit(
            "alembic/env.py",
            "connection=connection, target_metadata=target_metadata",
            "connection=connection, target_metadata=target_metadata, include_schemas=True",
        )

    def test_leaves_idemdb_alone(self, project: Project) -> None:
        project.edit(
            "alembic/env.py", "include_schemas=True", "include_schemas=True, include_name=include_name"
        )
        project.edit(
            "alembic/env.py",
            "from alembic import context",
            "from alembic import context\nfrom idemdb.alembic import include_name",
        )
        assert "No new upgrade operations detected" in project.alembic("check")

    def test_would_drop_idemdb_else(self, project: Project) -> None:
        # Its warnings are expected: SQLAlchemy does not know the types of all of our columns.
        assert "remove_table" in project.run(project.python, "-m", "alembic", "check", code=255)
        assert "alembic-autogenerate" in project.idemdb("doctor", "--json", code=None)


class TestInit:
    """`idemdb init`."""

    def test_twice_writes_once(self, project: Project) -> None:
        project.start_alembic()
        assert "Wrote" in project.idemdb("init")
        assert "Already there" in project.idemdb("init")
        assert len(list((project.folder / "alembic/versions").glob("*.py"))) == 1

    def test_goes_on_from_the_head(self, project: Project) -> None:
        project.start_alembic()
        project.alembic("revision", "-m", "users", "--rev-id", "users")
        project.idemdb("init")
        project.alembic("upgrade", "head")
        assert "users -> " in project.alembic("history")
        assert project.version() == NEWEST

    def test_from_pyproject(self, project: Project) -> None:
        project.alembic("init", "--template", "pyproject", "alembic")
        project.idemdb("init")
        assert list((project.folder / "alembic/versions").glob(f"*install_idemdb_release_{NEWEST}.py"))

    def test_with_a_named_file(self, project: Project) -> None:
        project.start_alembic()
        (project.folder / "alembic.ini").rename(project.folder / "other.ini")
        assert "found no Alembic configuration" in project.idemdb("init", code=1)
        project.idemdb("init", "--config", "other.ini")

    def test_several_heads(self, project: Project) -> None:
        project.start_alembic()
        for name in ("a", "b"):
            project.alembic("revision", "-m", name, "--rev-id", name, "--head", "base", "--splice")
        refused = project.idemdb("init", code=1)
        assert "2 heads" in refused
        assert "alembic merge heads" in refused
        project.idemdb("init", "--head", "a")

    def test_without_alembic(self, project: Project) -> None:
        refused = project.idemdb("init", code=1)
        assert "alembic init" in refused

    def test_several_databases(self, project: Project) -> None:
        project.alembic("init", "--template", "multidb", "alembic")
        assert f"op.idemdb_upgrade(to={NEWEST})" in project.idemdb("init", code=1)
        assert not list((project.folder / "alembic/versions").glob("*.py"))


class TestVersionLocations:
    """The package's own folder of revisions beside the application's."""

    LOCATIONS = "version_locations =\n    %(here)s/alembic/versions\n    idemdb:migrations/versions\n"

    @pytest.fixture(autouse=True)
    def _project(self, project: Project) -> None:
        project.start_alembic()
        project.alembic("revision", "-m", "users", "--rev-id", "users")
        project.edit("alembic.ini", "prepend_sys_path = .\n", "prepend_sys_path = .\n" + self.LOCATIONS)

    def test_up_and_down(self, project: Project) -> None:
        project.edit("alembic.ini", "path_separator = os", "path_separator = newline")
        project.alembic("upgrade", "heads")
        assert project.version() == NEWEST
        assert '"version_locations"' in project.idemdb("current", "--json")
        project.alembic("downgrade", "idemdb@base")
        assert project.version() is None

    def test_init_finds_it(self, project: Project) -> None:
        project.edit("alembic.ini", "path_separator = os", "path_separator = newline")
        assert "Already there" in project.idemdb("init")

    def test_the_silent_trap_is_found(self, project: Project) -> None:
        project.edit(
            "alembic.ini",
            self.LOCATIONS,
            "version_locations = %(here)s/alembic/versions:idemdb:migrations/versions\n",
        )
        project.alembic("upgrade", "heads")
        assert project.version() is None
        assert "alembic-locations" in project.idemdb("doctor", "--json", code=1)

    def test_a_lost_folder_is_found(self, project: Project) -> None:
        project.edit("alembic.ini", "path_separator = os", "path_separator = newline")
        project.alembic("upgrade", "heads")
        project.edit("alembic.ini", "    idemdb:migrations/versions\n", "")
        assert "Can't locate revision" in project.alembic("current", code=255)
        assert "alembic-lost" in project.idemdb("doctor", "--json", code=1)

    def test_the_only_folder_is_found(self, project: Project) -> None:
        project.edit("alembic.ini", "    %(here)s/alembic/versions\n", "")
        project.edit("alembic.ini", "path_separator = os", "path_separator = newline")
        assert "alembic-folder" in project.idemdb("doctor", "--json", code=1)
