"""Checks of the server, of its settings and of what runs on it."""

from __future__ import annotations

from collections.abc import Iterator

from idemdb.doctor.check import Check, Patient
from idemdb.finding import Finding

OLDEST_SERVER = 150000

# Settings as this session has them; what roles and the database override stands in rows of its own.
_SETTINGS = """
select s.name, s.setting as value, s.source, null as role, null as database
from pg_settings as s
where s.name = any (%(names)s) and s.source not in ('database', 'user', 'database user')
union all
select split_part(c.pair, '=', 1), split_part(c.pair, '=', 2), 'override',
    nullif(s.setrole, 0)::regrole::text, quote_ident(d.datname)
from pg_db_role_setting as s
cross join unnest(s.setconfig) as c (pair)
left join pg_database as d on d.oid = s.setdatabase
where split_part(c.pair, '=', 1) = any (%(names)s) and (d.datname is null or d.datname = current_database())
"""

# How long a vanished peer may keep its keys locked before anybody should ask why.
_KEEPALIVE_SECONDS = 600


def _settings(patient: Patient, bad: dict[str, set[str]], good: str) -> Iterator[tuple[str, str, str]]:
    """Find settings with bad values; yield ``name = value``, where that holds, and what mends it."""
    for row in patient.rows(_SETTINGS, names=list(bad)):
        name, value = row["name"], row["value"]
        if value not in bad[name]:
            continue
        if row["source"] == "override":
            place = " in ".join(
                f"{kind} {row[kind]}" for kind in ("role", "database") if row[kind] is not None
            )
            owner = f"role {row['role']}" if row["role"] else f"database {row['database']}"
            within = f" in database {row['database']}" if row["role"] and row["database"] else ""
            mend = f"alter {owner}{within} reset {name};"
        elif row["source"] in ("client", "session"):
            place = "this session"
            mend = f"take {name} out of the connection's options (DSN, PGOPTIONS)"
        elif row["source"] == "command line":
            place = "the server"
            mend = f"take {name} out of the command line that starts the server"
        else:
            place = "the server"
            mend = f"alter system set {name} = '{good}';\nselect pg_reload_conf();"
        yield f"{name} = {value}", place, mend


def _server(patient: Patient) -> Iterator[Finding]:
    (row,) = patient.rows(
        "select current_setting('server_version_num')::integer as number, version() as name"
    )
    if row["number"] < OLDEST_SERVER:
        yield Finding(
            "server",
            "error",
            f"{row['name'].partition(' on ')[0]} is too old",
            "idemdb is tested on PostgreSQL 15 and later.",
            "upgrade the server",
        )


def _durability(patient: Patient) -> Iterator[Finding]:
    bad = {"fsync": {"off"}, "full_page_writes": {"off"}, "synchronous_commit": {"off"}}
    for setting, place, mend in _settings(patient, bad, "on"):
        yield Finding(
            "durability",
            "error",
            f"{setting} for {place}",
            "A crash loses keys whose success was reported: their repeats are executed again.",
            mend,
        )


def _primary(patient: Patient) -> Iterator[Finding]:
    if patient.rows("select where pg_is_in_recovery()"):
        yield Finding(
            "primary",
            "error",
            "this server is a replica",
            "It lags, so that a key just claimed is unknown here, and nothing can be claimed.",
            "connect to the primary: target_session_attrs=read-write in the DSN",
        )


def _read_only(patient: Patient) -> Iterator[Finding]:
    for setting, place, mend in _settings(patient, {"default_transaction_read_only": {"on", "true"}}, "off"):
        yield Finding(
            "read-only",
            "error",
            f"{setting} for {place}",
            "Answers are replayed, but nothing can be claimed.",
            mend,
        )


def _isolation(patient: Patient) -> Iterator[Finding]:
    bad = {"default_transaction_isolation": {"repeatable read", "serializable"}}
    for setting, place, mend in _settings(patient, bad, "read committed"):
        yield Finding(
            "isolation",
            "warning",
            f"{setting} for {place}",
            "Claims that meet fail with 40001, and whole transactions have to be repeated.",
            mend,
        )


def _snapshots(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select pid, usename, application_name, state, quote_ident(datname) as database,
            date_trunc('second', clock_timestamp() - xact_start) as age
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
            and (backend_xmin is not null or backend_xid is not null)
            and clock_timestamp() - xact_start >= %(limit)s
        order by xact_start
        """,
        limit=patient.limits.snapshot,
    )
    for row in rows:
        yield Finding(
            "snapshots",
            "warning",
            f"session {row['pid']} ({row['usename']}, {row['application_name'] or 'without a name'}, "
            f"{row['state']}) has a transaction open for {row['age']}",
            "Keys it claimed stay locked, what sweep removes stays on disk, indexes built concurrently wait.",
            f"select pg_terminate_backend({row['pid']});\n"
            f"alter database {row['database']} set idle_in_transaction_session_timeout = '1min';",
        )


def _prepared(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select quote_literal(gid) as gid, owner, date_trunc('second', clock_timestamp() - prepared) as age
        from pg_prepared_xacts
        where database = current_database() and clock_timestamp() - prepared >= %(limit)s
        order by prepared
        """,
        limit=patient.limits.prepared,
    )
    for row in rows:
        yield Finding(
            "prepared",
            "warning",
            f"transaction {row['gid']} of {row['owner']} has been prepared for {row['age']}",
            "It holds its keys without a session, through restarts too.",
            f"rollback prepared {row['gid']};  (or commit prepared, as its coordinator says)",
        )


def _half_open(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select name, case name when 'tcp_keepalives_idle' then '60' else '10s' end as good
        from pg_settings
        where (name = 'tcp_keepalives_idle' and (setting::integer = 0 or setting::integer > %(seconds)s))
            or (name = 'client_connection_check_interval' and setting::integer = 0)
        order by name desc
        """,
        seconds=_KEEPALIVE_SECONDS,
    )
    if rows:
        yield Finding(
            "half-open",
            "info",
            f"{' and '.join(row['name'] for row in rows)} left to the system",
            "A client that vanishes without a word keeps its keys locked for up to two hours.",
            "\n".join(f"alter system set {row['name']} = '{row['good']}';" for row in rows)
            + "\nselect pg_reload_conf();",
        )


CHECKS = (
    Check("server", "the server is supported", _server),
    Check("durability", "commits are durable", _durability),
    Check("primary", "the server is a primary", _primary),
    Check("read-only", "transactions may write", _read_only),
    Check("isolation", "transactions are READ COMMITTED", _isolation),
    Check("snapshots", "no old transaction is open", _snapshots),
    Check("prepared", "no prepared transaction was left behind", _prepared),
    Check("half-open", "vanished clients are noticed", _half_open),
)
