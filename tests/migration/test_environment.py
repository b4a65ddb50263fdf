"""Install with the CLI, and with its scripts."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb import resources
from tests.migration.conftest import Project

NEWEST = resources.latest()

OBJECTS = """
select 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid)), p.proacl::text
from pg_proc as p where p.pronamespace = to_regnamespace('idemdb')
union all
select c.relkind::text, c.oid::regclass::text, pg_get_viewdef(c.oid), c.relacl::text
from pg_class as c
where c.relnamespace = to_regnamespace('idemdb') and c.relkind in ('r', 'v', 'i', 'S', 'c')
    and c.relname !~ '^alembic_version'
union all
select 'schema', n.nspname, obj_description(n.oid), n.nspacl::text
from pg_namespace as n where n.nspname = 'idemdb'
order by 1, 2
"""


def objects(dsn: str) -> list[tuple[str, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(OBJECTS).fetchall()


def test_up_and_down(project: Project) -> None:
    assert json.loads(project.idemdb("current", "--json")) == {"version": 0, "newest": NEWEST, "by": None}
    assert f"Installed release {NEWEST}" in project.idemdb("upgrade")
    assert json.loads(project.idemdb("current", "--json")) == {
        "version": NEWEST,
        "newest": NEWEST,
        "by": "idemdb upgrade",
    }
    assert "Nothing to do" in project.idemdb("upgrade")

    project.claim()
    assert "Hint: " in project.idemdb("downgrade", "--to", "0", code=1)
    assert project.version() == NEWEST
    assert "to none" in project.idemdb("downgrade", "--to", "0", "--force")
    assert project.version() is None
    assert "Nothing to do" in project.idemdb("downgrade", "--to", "0")


def test_the_schema_stays_while_it_holds_something_else(project: Project) -> None:
    project.idemdb("upgrade")
    with psycopg.connect(project.dsn) as conn:
        conn.execute("create table idemdb.mine ()")
    project.idemdb("downgrade", "--to", "0")
    with psycopg.connect(project.dsn) as conn:
        assert conn.execute("select to_regclass('idemdb.mine') is not null").fetchone() == (True,)
        assert objects(project.dsn)[0][1] == "idemdb.mine"


def test_several_at_once(project: Project) -> None:
    processes = [project.start(project.python.with_name("idemdb"), "upgrade") for _ in range(4)]
    results = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [result for result in results if result[2]] == []
    assert project.version() == NEWEST


def test_an_owner_without_other_rights(project: Project) -> None:
    """The migrations of many teams run as the owner of the database, who may not create roles."""
    name = "owner_of_" + str(conninfo_to_dict(project.dsn)["dbname"])
    with psycopg.connect(project.dsn, autocommit=True) as conn:
        conn.execute(f"create role {name} login password 'x'".encode())
        conn.execute(f"alter database {conn.info.dbname} owner to {name}".encode())
        try:
            owner = make_conninfo(project.dsn, user=name, password="x")
            project.idemdb("upgrade", "--dsn", owner)
            assert project.version() == NEWEST
            project.idemdb("downgrade", "--to", "0", "--dsn", owner)
            assert project.version() is None
        finally:
            conn.execute(f"alter database {conn.info.dbname} owner to current_user".encode())
            conn.execute(f"drop role {name}".encode())


def test_a_script_is_recognised_and_left_alone(project: Project, psql: Path) -> None:
    script = project.folder / "up.sql"
    project.idemdb("sql", "--output", str(script))
    project.run(psql, "-v", "ON_ERROR_STOP=1", "-f", script, project.dsn)
    assert json.loads(project.idemdb("current", "--json"))["by"] == "unknown"
    assert "Nothing to do" in project.idemdb("upgrade")
    assert f"idemdb sql --from {NEWEST} --to 0" in project.idemdb("downgrade", "--to", "0", code=1)
    assert project.version() == NEWEST


def test_a_script_may_run_twice_and_goes_back(project: Project, psql: Path) -> None:
    newest = str(NEWEST)
    up, down = (project.idemdb("sql", "--from", a, "--to", b) for a, b in (("0", newest), (newest, "0")))
    for _ in range(2):
        project.run(psql, "-v", "ON_ERROR_STOP=1", project.dsn, text=up)
    assert project.version() == NEWEST
    for _ in range(2):
        project.run(psql, "-v", "ON_ERROR_STOP=1", project.dsn, text=down)
    assert project.version() is None


def test_all_ways_install_the_same(project: Project, dsn: str, psql: Path) -> None:
    released = objects(dsn)  # the frozen files, run one after the other
    assert len(released) > 20

    project.idemdb("upgrade")
    assert objects(project.dsn) == released
    project.idemdb("downgrade", "--to", "0")

    project.run(psql, "-v", "ON_ERROR_STOP=1", project.dsn, text=project.idemdb("sql"))
    assert objects(project.dsn) == released
    project.run(psql, project.dsn, text=project.idemdb("sql", "--from", str(NEWEST), "--to", "0"))

    project.start_alembic()
    project.idemdb("init")
    project.alembic("upgrade", "head")
    assert objects(project.dsn) == released
    assert json.loads(project.idemdb("current", "--json"))["by"] == "unknown"
