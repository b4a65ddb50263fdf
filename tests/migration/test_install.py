"""The statements of an install, against PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

import idemdb.alembic
from idemdb import resources
from idemdb.alembic import environment, include_name, install


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a second release that can be spoilt; the first is the real one."""
    (tmp_path / "0001").symlink_to(resources.RELEASES / "0001")
    folder = tmp_path / "0002"
    folder.mkdir()
    (folder / "upgrade.sql").write_text(
        "create or replace function idemdb.version() returns integer language sql immutable as 'select 2';\n"
        "create table idemdb.two (word text default '100%s %(x)s :one ::two \\:three');\n"
    )
    (folder / "roles.sql").write_text("grant select on idemdb.two to idemdb_reader;\n")
    (folder / "downgrade.sql").write_text(
        "drop table idemdb.two;\n"
        "create or replace function idemdb.version() returns integer language sql immutable as 'select 1';\n"
    )
    monkeypatch.setattr(resources, "RELEASES", tmp_path)
    return folder


def run(dsn: str, statements: list[str]) -> None:
    with psycopg.connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def version(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("select idemdb.version()").fetchone()
    assert row
    return int(row[0])


def test_release_after_release(release: Path, empty_dsn: str) -> None:
    run(empty_dsn, install.upgrade(1))
    run(empty_dsn, install.upgrade(2))
    assert version(empty_dsn) == 2
    run(empty_dsn, install.upgrade(1))  # an old revision, run again
    assert version(empty_dsn) == 2
    run(empty_dsn, install.downgrade(1, 2))
    run(empty_dsn, install.downgrade(1, 2))
    assert version(empty_dsn) == 1


def test_a_release_is_not_left_out(release: Path, empty_dsn: str) -> None:
    with pytest.raises(psycopg.Error, match="release 2 needs release 1, and 0 is installed") as caught:
        run(empty_dsn, install.upgrade(2, 1))
    assert caught.value.sqlstate == "ID005"
    assert "--from 0" in (caught.value.diag.message_hint or "")
    run(empty_dsn, install.upgrade(2))
    with pytest.raises(psycopg.Error, match="release 2 is installed, and only the newest"):
        run(empty_dsn, install.downgrade(0, 1))
    assert version(empty_dsn) == 2


@pytest.mark.parametrize("file", ["upgrade.sql", "roles.sql"])
def test_a_failure_leaves_nothing_half_installed(release: Path, empty_dsn: str, file: str) -> None:
    run(empty_dsn, install.upgrade(1))
    (release / file).write_text((release / file).read_text() + "select 1 / 0;\n")
    with (
        psycopg.connect(empty_dsn, autocommit=True) as conn,
        pytest.raises(psycopg.errors.DivisionByZero),
    ):
        conn.execute(install.upgrade(2)[1].encode())
    assert version(empty_dsn) == 1
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("select to_regclass('idemdb.two')").fetchone() == (None,)


def test_the_second_of_two_waits_and_finds_nothing_to_do(empty_dsn: str) -> None:
    (statement,) = install.upgrade(1)
    with psycopg.connect(empty_dsn) as first, psycopg.connect(empty_dsn) as second:
        first.execute(statement.encode())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second.execute, statement.encode())
            until_blocked(empty_dsn, second.info.backend_pid, by=first.info.backend_pid)
            first.commit()
            waiting.result(30)
        second.commit()
    assert version(empty_dsn) == 1


def until_blocked(dsn: str, pid: int, *, by: int) -> None:
    deadline = time.monotonic() + 30
    with psycopg.connect(dsn, autocommit=True) as conn:
        while conn.execute("select pg_blocking_pids(%s)", [pid]).fetchone() != ([by],):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


def test_an_older_foreign_schema_is_left_to_its_tool(release: Path, empty_dsn: str) -> None:
    run(empty_dsn, install.upgrade(1))
    engine = create_engine(empty_dsn.replace("postgresql:", "postgresql+psycopg:"))
    for act, goal in ((environment.upgrade, 2), (environment.downgrade, 0)):
        with pytest.raises(environment.InstalledOtherwiseError):
            act(engine, goal)
    assert version(empty_dsn) == 1
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_text_arrives_as_it_is_written(release: Path, empty_dsn: str, driver: str) -> None:
    engine = create_engine(empty_dsn.replace("postgresql:", f"postgresql+{driver}:"))
    with engine.begin() as connection:
        for statement in install.upgrade(2):
            connection.execute(text(statement.replace(":", r"\:")))
        word = connection.scalar(text("insert into idemdb.two default values returning word"))
    engine.dispose()
    assert word == "100%s %(x)s :one ::two \\:three"


@pytest.mark.parametrize("tag", ["$idemdb_block$", "$idemdb_file$"])
def test_a_file_with_the_tag_is_refused(release: Path, tag: str) -> None:
    (release / "upgrade.sql").write_text(f"select {tag}{tag};")
    with pytest.raises(ValueError, match="contains"):
        install.upgrade(2)


@pytest.mark.parametrize(("from_", "to"), [(1, 1), (-1, 1)])
def test_wrong_ways_up(from_: int, to: int) -> None:
    with pytest.raises(ValueError, match="an upgrade goes"):
        install.upgrade(to, from_)


@pytest.mark.parametrize(("from_", "to"), [(1, 1), (1, -1), (0, 1)])
def test_wrong_ways_down(from_: int, to: int) -> None:
    with pytest.raises(ValueError, match="a downgrade goes"):
        install.downgrade(to, from_)


def test_an_unknown_release() -> None:
    with pytest.raises(FileNotFoundError, match=r"carries no upgrade\.sql of release 99"):
        install.upgrade(99, 98)


def test_include_name() -> None:
    assert include_name("public", "schema", {})
    assert include_name(None, "schema", {})
    assert include_name("keys", "table", {"schema_name": None})
    assert not include_name("idemdb", "schema", {})
    assert not include_name("keys", "table", {"schema_name": "idemdb"})
    assert not include_name("scope", "column", {"schema_name": "idemdb", "table_name": "keys"})


def test_alembic_below_1_20_1_iterates_over_the_plugin() -> None:
    module: Any = idemdb.alembic
    assert list(module) == [module]
