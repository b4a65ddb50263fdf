"""The frozen releases are the current tree, and are frozen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from idemdb import resources
from tests.support.database import Server

SNAPSHOT = """
    select 'function', p.proname::text, pg_get_functiondef(p.oid) || coalesce(obj_description(p.oid, 'pg_proc'), '')
        || coalesce(array_to_string(array(select a::text from unnest(p.proacl) as a order by 1), ','), '')
    from pg_proc as p where p.pronamespace = 'idemdb'::regnamespace
    union all
    select c.relkind::text, c.relname::text, concat_ws('|', array_to_string(c.reloptions, ','),
        obj_description(c.oid, 'pg_class'), pg_get_viewdef(c.oid),
        array_to_string(array(select a::text from unnest(c.relacl) as a order by 1), ','))
    from pg_class as c where c.relnamespace = 'idemdb'::regnamespace and c.relkind <> 'i'
    union all
    select 'column', concat_ws('.', c.relname, a.attnum, a.attname),
        concat_ws('|', format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attcollation,
        col_description(c.oid, a.attnum))
    from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'idemdb'::regnamespace and c.relkind in ('r', 'v', 'c')
    union all
    select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    from pg_index as i join pg_class as c on c.oid = i.indrelid where c.relnamespace = 'idemdb'::regnamespace
    order by 1, 2, 3
"""


def psql(server: Server, dsn: str, *arguments: str) -> None:
    """Run psql in one transaction, stopping at the first error."""
    subprocess.run(
        [server.psql, "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, *arguments],
        check=True,
        capture_output=True,
    )


def snapshot(conn: psycopg.Connection[Any]) -> list[Any]:
    """Return what the catalogue knows of the schema."""
    return conn.execute(SNAPSHOT).fetchall()


def test_all_releases_give_the_current_tree(
    server: Server, dsn: str, empty_dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]
) -> None:
    """A database that took every release equals one installed from the tree."""
    psql(server, empty_dsn, "-f", str(resources.SQL / "install.sql"))
    released, current = snapshot(make_conn(dsn)), snapshot(make_conn(empty_dsn))
    assert len(current) > 100
    assert released == current


def test_every_downgrade_leaves_what_was_there_before(
    empty_dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]
) -> None:
    """Up and down again, release by release, and up again."""
    conn = make_conn(empty_dsn, autocommit=True)
    conn.execute("create schema idemdb")

    def run(number: int, name: str) -> None:
        conn.execute(resources.release_file(number, name).read_bytes())

    states = [snapshot(conn)]
    for number in resources.releases():
        run(number, "upgrade.sql")
        states.append(snapshot(conn))
    for number in reversed(resources.releases()):
        assert snapshot(conn) == states.pop()
        run(number, "downgrade.sql")
    assert snapshot(conn) == states.pop()
    for number in resources.releases():
        run(number, "upgrade.sql")


def test_a_downgrade_refuses_to_forget_keys(
    dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]
) -> None:
    """Remembered keys are lost only by force."""
    conn = make_conn(dsn)
    conn.execute(r"select idemdb.claim('s', 'k', '\x')")
    for number in reversed(resources.releases()[1:]):
        conn.execute(resources.release_file(number, "downgrade.sql").read_bytes())
    conn.commit()
    downgrade = resources.release_file(1, "downgrade.sql").read_bytes()
    with pytest.raises(psycopg.Error, match="1 idempotency keys that are still remembered") as caught:
        conn.execute(downgrade)
    assert caught.value.sqlstate == "ID004"
    conn.rollback()
    conn.execute("set local idemdb.force = 'on'")
    conn.execute(downgrade)
    conn.execute("drop schema idemdb")


REMEMBERED = {
    "event": "select idemdb.process('c', 'e')",
    "dead event": """
        select idemdb.configure('consumer', 'c', '{"max_attempts": 1}'), idemdb.process_failed('c', 'e', 'boom');
        update idemdb.inbox set forget_at = now()
    """,
    "stream": "select idemdb.process_offsets('c', 's', '{1}')",
    "version": "select idemdb.advance('c', 'x', 1)",
    "waiting message": "select idemdb.outbox_add('t', 'k', '1'); update idemdb.outbox_keys set forget_at = now()",
    "dedup key": "select idemdb.outbox_add('t', 'k', '1'); delete from idemdb.outbox_messages",
}


@pytest.mark.parametrize("what", REMEMBERED)
def test_a_downgrade_refuses_to_forget_events_and_messages(what: str, conn: psycopg.Connection[Any]) -> None:
    """Each kind of memory alone is enough to refuse, and is lost only by force."""
    conn.execute(REMEMBERED[what].encode())
    conn.execute("savepoint before")
    downgrade = resources.release_file(2, "downgrade.sql").read_bytes()
    with pytest.raises(psycopg.Error, match="forget 1 event") as caught:
        conn.execute(downgrade)
    assert (caught.value.sqlstate, bool(caught.value.diag.message_hint)) == ("ID004", True)
    conn.execute("rollback to before")
    conn.execute("set local idemdb.force = 'on'")
    conn.execute(downgrade)
    assert conn.execute("select idemdb.version()").fetchone() == (1,)


def test_a_downgrade_needs_no_force_for_what_is_over(conn: psycopg.Connection[Any]) -> None:
    """Past events, dedup keys and failures are no reason to refuse."""
    conn.execute("""
        select idemdb.process('c', 'e'), idemdb.process_failed('c', 'f', 'boom'), idemdb.outbox_add('t', 'k', '1');
        update idemdb.inbox set forget_at = now();
        update idemdb.outbox_keys set forget_at = now();
        delete from idemdb.outbox_messages
    """)
    conn.execute(resources.release_file(2, "downgrade.sql").read_bytes())
    assert conn.execute(r"select outcome from idemdb.claim('s', 'k', '\x')").fetchone() == ("started",)


def test_the_version_is_the_newest_release(conn: psycopg.Connection[Any]) -> None:
    """version() was raised with the release."""
    assert conn.execute("select idemdb.version()").fetchone() == (resources.latest(),)


def test_released_files_are_frozen(tmp_path: Any) -> None:
    """The check passes here, and fails once a byte of a released file changes."""
    tool = resources.SQL.parent / "tools" / "release.py"
    subprocess.run([sys.executable, tool], check=True)

    copy = tmp_path / "tools" / "release.py"
    copy.parent.mkdir()
    copy.write_bytes(tool.read_bytes())
    for file in resources.RELEASES.rglob("*"):
        if file.is_file():
            target = tmp_path / "sql" / "releases" / file.relative_to(resources.RELEASES)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    subprocess.run([sys.executable, copy], check=True)
    with (tmp_path / "sql/releases/0001/upgrade.sql").open("a") as file_:
        file_.write("\n")
    assert subprocess.run([sys.executable, copy], capture_output=True, check=False).returncode == 1


def test_a_foreign_schema_is_not_taken_over(
    empty_dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]
) -> None:
    """Somebody who made the schema first could replace our functions: the install refuses."""
    conn = make_conn(empty_dsn)
    conn.execute("create role squatter nologin")
    conn.execute("create role installer nologin")
    conn.execute("create schema idemdb authorization squatter")
    conn.execute(f"grant create on database {conn.info.dbname} to installer".encode())
    conn.execute("set local role installer")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="belongs to another role"):
        conn.execute(resources.release_file(1, "upgrade.sql").read_bytes())


def test_without_createrole_the_install_says_what_to_run(
    empty_dsn: str, make_conn: Callable[..., psycopg.Connection[Any]]
) -> None:
    """Roles that do not exist and may not be created: the exact statements are in the HINT."""
    conn = make_conn(empty_dsn)
    text = resources.release_file(1, "roles.sql").read_text()
    conn.execute("create role installer nologin")
    conn.execute("set local role installer")
    absent = re.sub(r"idemdb_(user|admin|reader)", r"absent_\1", text.split("grant usage")[0])
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        conn.execute(absent.encode())
    assert "create role absent_user nologin; create role absent_admin nologin" in (
        caught.value.diag.message_hint or ""
    )
