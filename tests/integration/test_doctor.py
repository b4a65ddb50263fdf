"""Each check of doctor sees its defect, made for real, and nothing in a healthy database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from idemdb import doctor, resources
from idemdb.alembic import install
from idemdb.doctor import Finding, Limits
from idemdb.doctor import server as server_checks
from idemdb.embedded import EmbeddedPostgres
from idemdb.testing import age_key
from tests.support.database import Server

HEALTHY = (
    "alter system reset all",
    "alter system set fsync = off",
    "alter system set tcp_keepalives_idle = '60'",
    "alter system set client_connection_check_interval = '10s'",
    "select pg_reload_conf()",
)
NOW = Limits(snapshot=timedelta(0), prepared=timedelta(0))

_numbers = itertools.count(1)

Found = Callable[..., list[Finding]]

# The server skips the disk, which makes this module four times as fast, except where a test is about that.
durably = pytest.mark.usefixtures("_fsync")


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


@pytest.fixture(scope="module")
def durable(server: Server) -> Iterator[str]:
    """Return the DSN of a server that keeps what it commits, with a template database ``healthy``."""
    with EmbeddedPostgres(
        durable=True, bindir=server.bindir, settings={"max_prepared_transactions": "5"}
    ) as postgres:
        execute(postgres.dsn, "create database healthy")
        execute(make_conninfo(postgres.dsn, dbname="healthy"), *install.upgrade(resources.latest()))
        yield postgres.dsn


@pytest.fixture
def healthy(durable: str) -> Iterator[str]:
    """Return the DSN of a database that is healthy but for fsync, with a role ``shop`` of an application."""
    # Never dropped, which would cost a checkpoint: the server does not outlive the module.
    name = f"patient{next(_numbers)}"
    execute(
        durable,
        *HEALTHY,
        f"create database {name} template healthy",
        "create role shop login password 'shop' in role idemdb_user",
    )
    yield make_conninfo(durable, dbname=name)
    execute(durable, "drop role shop")


@pytest.fixture
def _fsync(healthy: str) -> Iterator[None]:
    """Let the server keep what it commits."""
    execute(healthy, "alter system reset fsync", "select pg_reload_conf()")
    yield
    execute(healthy, "alter system set fsync = off", "select pg_reload_conf()")


@pytest.fixture
def found(healthy: str) -> Found:
    """Return a function that returns what one check finds in the database."""

    def examine(id_: str, limits: Limits | None = None, **connection: Any) -> list[Finding]:
        with psycopg.connect(healthy, autocommit=True, **connection) as conn:
            findings = doctor.examine(conn, limits=limits)
        return [finding for finding in findings if finding.id == id_ and finding.level != "ok"]

    return examine


def mend(dsn: str, finding: Finding) -> None:
    """Do what the finding says."""
    for line in finding.mend.splitlines():
        statement, end, _ = line.partition(";")
        assert end, f"not a statement: {line}"
        execute(dsn, statement)


@durably
def test_a_healthy_database(healthy: str) -> None:
    with psycopg.connect(healthy, autocommit=True) as conn:
        findings = doctor.examine(conn)
    assert [finding for finding in findings if finding.level != "ok"] == []
    assert [finding.id for finding in findings] == [check.id for check in doctor.CHECKS]


@durably
def test_a_healthy_database_seen_by_its_application(healthy: str) -> None:
    with psycopg.connect(healthy, autocommit=True, user="shop", password="shop") as conn:
        findings = doctor.examine(conn)
    worse = [finding for finding in findings if finding.level not in ("ok", "info")]
    assert worse == []
    assert {f.what for f in findings if f.level == "info"} <= {"not looked at"}


def test_a_transaction_is_refused(healthy: str) -> None:
    with psycopg.connect(healthy) as conn, pytest.raises(ValueError, match="autocommit"):
        doctor.examine(conn)


def test_no_schema(durable: str) -> None:
    with psycopg.connect(durable, autocommit=True) as conn:
        findings = doctor.examine(conn)
    (schema,) = [finding for finding in findings if finding.id == "schema"]
    assert (schema.level, schema.what) == ("error", "idemdb is not installed here")
    assert "idemdb init" in schema.mend
    assert "roles" not in {finding.id for finding in findings}


@pytest.mark.parametrize(("ahead", "level"), [(1, "info"), (2, "warning")])
def test_a_newer_release(healthy: str, found: Found, ahead: int, level: str) -> None:
    version = resources.latest() + ahead
    execute(
        healthy,
        f"create or replace function idemdb.version() returns integer language sql as 'select {version}'",
    )
    (finding,) = found("schema")
    assert finding.level == level
    assert found("objects") == []  # it cannot know


def test_an_older_release(found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = f"{resources.latest() + 1:04d}"
    for release in (*resources.RELEASES.glob("0*"), Path(newer)):
        (tmp_path / release.name).symlink_to(release)
    monkeypatch.setattr(resources, "RELEASES", tmp_path)
    (finding,) = found("schema")
    assert finding.level == "error"
    assert "idemdb upgrade" in finding.mend


def test_an_old_server(healthy: str, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_checks, "OLDEST_SERVER", 990000)
    (finding,) = found("server")
    assert finding.level == "error"


@durably
@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_may_lose_commits(healthy: str, found: Found, setting: str) -> None:
    execute(healthy, f"alter system set {setting} = off", "select pg_reload_conf()")
    (finding,) = found("durability")
    assert (finding.level, finding.what) == ("error", f"{setting} = off for the server")
    mend(healthy, finding)
    assert found("durability") == []


@pytest.mark.parametrize(
    ("owner", "place"),
    [
        ("role shop", "role shop"),
        ("database {name}", "database {name}"),
        ("role shop in database {name}", "role shop in database {name}"),
    ],
)
@durably
def test_a_role_or_database_that_may_lose_commits(healthy: str, found: Found, owner: str, place: str) -> None:
    name = conninfo_to_dict(healthy)["dbname"]
    execute(healthy, f"alter {owner.format(name=name)} set synchronous_commit = off")
    (finding,) = found("durability", user="shop", password="shop")
    assert finding.what == f"synchronous_commit = off for {place.format(name=name)}"
    mend(healthy, finding)
    assert found("durability") == []


@durably
def test_a_session_that_may_lose_commits(found: Found) -> None:
    (finding,) = found("durability", options="-c synchronous_commit=off")
    assert finding.what == "synchronous_commit = off for this session"


def test_a_read_only_role(healthy: str, found: Found) -> None:
    execute(healthy, "alter role shop set default_transaction_read_only = on")
    (finding,) = found("read-only")
    assert finding.level == "error"
    mend(healthy, finding)
    assert found("read-only") == []


def test_another_isolation(healthy: str, found: Found) -> None:
    name = conninfo_to_dict(healthy)["dbname"]
    execute(healthy, f"alter database {name} set default_transaction_isolation = 'repeatable read'")
    (finding,) = found("isolation")
    assert finding.what == f"default_transaction_isolation = repeatable read for database {name}"
    mend(healthy, finding)
    assert found("isolation") == []


def test_a_replica(server: Server) -> None:
    # Not in pytest's directory, which the server's account may not enter.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        with EmbeddedPostgres(data, bindir=server.bindir):
            pass
        (data / "pgdata" / "standby.signal").touch()
        with (
            EmbeddedPostgres(data, bindir=server.bindir) as replica,
            psycopg.connect(replica.dsn, autocommit=True) as conn,
        ):
            (finding,) = [finding for finding in doctor.examine(conn) if finding.id == "primary"]
    assert (finding.level, finding.what) == ("error", "this server is a replica")


def test_an_old_snapshot(healthy: str, found: Found) -> None:
    with psycopg.connect(healthy, application_name="report") as conn:
        conn.execute("set transaction isolation level repeatable read")
        conn.execute("select")
        assert found("snapshots") == []
        (finding,) = found("snapshots", NOW)
        assert str(conn.info.backend_pid) in finding.what
        assert "report" in finding.what
        mend(healthy, finding)
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select")
    assert found("snapshots", NOW) == []


def test_an_open_claim_is_an_old_transaction(healthy: str, found: Found) -> None:
    with psycopg.connect(healthy) as conn:
        conn.execute("select outcome from idemdb.claim('shop', 'one', '\\x')")
        assert len(found("snapshots", NOW)) == 1


def test_a_prepared_transaction(healthy: str, found: Found) -> None:
    with psycopg.connect(healthy) as conn:
        conn.execute("select outcome from idemdb.claim('shop', 'one', '\\x')")
        conn.execute("prepare transaction 'it''s left'")
    assert found("prepared") == []
    (finding,) = found("prepared", NOW)
    assert "it''s left" in finding.what
    mend(healthy, finding)
    assert found("prepared", NOW) == []


@pytest.mark.parametrize("setting", ["client_connection_check_interval", "tcp_keepalives_idle"])
def test_half_open_peers(healthy: str, found: Found, setting: str) -> None:
    execute(healthy, f"alter system set {setting} = 0", "select pg_reload_conf()")
    (finding,) = found("half-open")
    assert (finding.level, setting in finding.what) == ("info", True)
    mend(healthy, finding)
    assert found("half-open") == []


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("drop view idemdb.unresolved", "view idemdb.unresolved is missing"),
        ("drop table idemdb.audit cascade", "table idemdb.audit is missing"),
        ("drop function idemdb.renew", "function idemdb.renew is missing"),
        (
            "create or replace function idemdb.version() returns integer language sql as 'select 2 - 1'",
            "function idemdb.version is not the released one",
        ),
    ],
)
def test_damaged_objects(healthy: str, found: Found, damage: str, what: str) -> None:
    execute(healthy, damage)
    assert what in [finding.what for finding in found("objects")]


def test_an_unlogged_table(healthy: str, found: Found) -> None:
    execute(healthy, "alter table idemdb.keys set unlogged")
    (finding,) = found("unlogged")
    assert finding.level == "error"
    mend(healthy, finding)
    assert found("unlogged") == []


@pytest.mark.parametrize(
    ("grant", "thing"),
    [
        ("execute on function idemdb.version()", "function idemdb.version()"),
        ("usage on schema idemdb", "schema idemdb"),
        ("select on idemdb.keys", "table idemdb.keys"),
        ("select on idemdb.key_overview", "table idemdb.key_overview"),
    ],
)
def test_rights_of_public(healthy: str, found: Found, grant: str, thing: str) -> None:
    execute(healthy, f"grant {grant} to public")
    (finding,) = found("public")
    assert (finding.level, thing in finding.what) == ("error", True)
    mend(healthy, finding)
    assert found("public") == []


def test_a_recreated_function_is_open_to_all(healthy: str, found: Found) -> None:
    execute(healthy, "create function idemdb.mine() returns integer language sql as 'select 1'")
    (finding,) = found("public")
    assert "idemdb.mine()" in finding.what


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("revoke usage on schema idemdb from idemdb_user", "role idemdb_user has no USAGE on schema idemdb"),
        (
            "revoke execute on all functions in schema idemdb from idemdb_admin",
            "role idemdb_admin cannot use",
        ),
    ],
)
def test_missing_rights(healthy: str, found: Found, damage: str, what: str) -> None:
    execute(healthy, damage)
    assert any(finding.what.startswith(what) for finding in found("roles"))
    execute(healthy, *install.upgrade(resources.latest()))  # what it says: the script may be run again
    assert found("roles") == []


def test_no_roles(durable: str, healthy: str, found: Found) -> None:
    execute(durable, "alter role idemdb_user rename to idemdb_user_away")
    try:
        (finding,) = found("roles")
        assert finding.what == "role idemdb_user does not exist"
    finally:
        execute(durable, "alter role idemdb_user_away rename to idemdb_user")


def test_a_role_that_may_not_claim(healthy: str, found: Found) -> None:
    execute(healthy, "revoke idemdb_user from shop")
    (finding,) = found("member", user="shop", password="shop")
    assert finding.mend == "grant idemdb_user to shop;"
    mend(healthy, finding)
    assert found("member", user="shop", password="shop") == []


@pytest.mark.parametrize(("abandoned", "what"), [("retry", "1 abandoned"), ("hold", "1 unresolved")])
def test_claims_past_their_lease(healthy: str, found: Found, abandoned: str, what: str) -> None:
    with psycopg.connect(healthy) as conn:
        conn.execute(
            "select outcome from idemdb.claim('shop', 'one', '\\x', '10 s', null, %s::jsonb)",
            [json.dumps({"abandoned": abandoned})],
        )
    assert found("leases") == []
    with psycopg.connect(healthy) as conn:
        age_key(conn, "shop", "one", 60)
    (finding,) = found("leases")
    assert finding.what.startswith(what)


def test_an_overdue_sweep(healthy: str, found: Found) -> None:
    with psycopg.connect(healthy) as conn:
        conn.execute("select outcome from idemdb.claim('shop', 'one', '\\x')")
    assert found("swept") == []
    with psycopg.connect(healthy) as conn:
        age_key(conn, "shop", "one", timedelta(days=40))
    (finding,) = found("swept")
    assert "never" in finding.what
    execute(healthy, "select idemdb.sweep()")
    assert found("swept") == []


def test_dead_letters(healthy: str, found: Found) -> None:
    for kind, name in (("consumer", "billing"), ("topic", "mail")):
        execute(healthy, f"select idemdb.configure('{kind}', '{name}', '{{\"max_attempts\": 1}}')")
    execute(
        healthy,
        "select idemdb.process_failed('billing', 'e', 'no luck')",
        "select idemdb.outbox_add('mail', 'receipt', '{}')",
        "select idemdb.outbox_retry('mail', claim_token, id, '0', 'no')"
        " from idemdb.outbox_take('mail', 1, '1 min')",
    )
    events, messages = found("dead-letters")
    assert (events.level, events.what) == ("warning", "1 dead events of consumer billing")
    assert messages.what == "1 dead messages of topic mail"
    execute(
        healthy,
        "select idemdb.dead_letter('consumer', 'billing', 'e', 'drop')",
        "select idemdb.dead_letter('topic', 'mail', id, 'drop') from idemdb.dead_letters",
    )
    assert found("dead-letters") == []


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        ("available_at = available_at - interval '1 hour'", 1),
        ("available_at = available_at - interval '1 hour', lease_until = clock_timestamp()", 0),
        ("available_at = available_at - interval '1 hour', dead = true", 0),
        ("created_at = created_at - interval '1 hour'", 0),
        ("available_at = available_at - interval '2 h', lease_until = available_at - interval '1 h'", 1),
    ],
)
def test_nobody_relays(healthy: str, found: Found, damage: str, messages: int) -> None:
    execute(healthy, "select idemdb.outbox_add('mail', 'receipt', '{}')")
    execute(healthy, f"update idemdb.outbox_messages set {damage}")
    findings = found("outbox")
    assert len(findings) == messages
    for finding in findings:
        assert finding.what.startswith("1 messages of topic mail")
        assert "idemdb relay" in finding.mend
