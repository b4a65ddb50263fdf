"""Checks of idemdb's own schema: its objects, its rights, its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

from idemdb import resources
from idemdb.doctor.check import Check, Patient
from idemdb.finding import Finding

_INSTALL = "idemdb init  (then alembic upgrade head)\nidemdb upgrade  (without Alembic of your own)"

_FLAGS = re.IGNORECASE | re.MULTILINE
_CREATED = re.compile(r"^\s*create\s+(?:or\s+replace\s+)?(function|table|view)\s+idemdb\.(\w+)", _FLAGS)
_GRANTED = re.compile(
    r"^\s*grant\s+(?:execute\s+on\s+function|select\s+on)\s+([^;]+?)\s+to\s+([^;]+);", _FLAGS
)
_ARGUMENTS = re.compile(r"\([^)]*\)")
_NAME = re.compile(r"idemdb\.(\w+)")


def installed(patient: Patient) -> bool:
    """Say whether idemdb.version() is there; asks pg_proc, which needs no right on the schema."""
    return bool(
        patient.rows(
            """
            select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
            where n.nspname = 'idemdb' and p.proname = 'version'
            """
        )
    )


def _version(patient: Patient) -> int:
    return int(patient.rows("select idemdb.version() as version")[0]["version"])


def _schema(patient: Patient) -> Iterator[Finding]:
    newest = resources.latest()
    if not installed(patient):
        yield Finding("schema", "error", "idemdb is not installed here", "No call can work.", _INSTALL)
        return
    version = _version(patient)
    if version < newest:
        yield Finding(
            "schema",
            "error",
            f"release {version} is installed, and this package needs {newest}",
            "Calls that came with a later release fail.",
            _INSTALL,
        )
    elif version > newest:
        yield Finding(
            "schema",
            "info" if version == newest + 1 else "warning",
            f"release {version} is installed, and this package knows {newest}",
            "A package works on its own release of the schema and on the next.",
            "pip install --upgrade idemdb",
        )


def _objects(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select 'function' as kind, p.proname as name, p.prosrc as body
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace where n.nspname = 'idemdb'
        union all
        select case c.relkind when 'v' then 'view' else 'table' end, c.relname, null
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'idemdb' and c.relkind in ('r', 'p', 'v')
        """
    )
    present = {(row["kind"], row["name"]): row["body"] for row in rows}
    version = _version(patient)
    expected: dict[tuple[str, str], str] = {}
    # A package older than the schema cannot know what its release looks like.
    for release in range(1, version + 1) if version <= resources.latest() else ():
        text = resources.release_file(release, "upgrade.sql").read_text(encoding="utf-8")
        # The newest release that creates an object has its present body.
        expected |= {(match[1].lower(), match[2]): text for match in _CREATED.finditer(text)}
    why = "Somebody changed it by hand; what idemdb promises was tested with the released one."
    mend = f"run its statement from: idemdb sql --from {version - 1} --to {version}"
    for (kind, name), text in sorted(expected.items()):
        if (kind, name) not in present:
            yield Finding("objects", "error", f"{kind} idemdb.{name} is missing", why, mend)
        elif (body := present[kind, name]) and body not in text:
            yield Finding("objects", "error", f"{kind} idemdb.{name} is not the released one", why, mend)


def _unlogged(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select c.oid::regclass::text as name
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'idemdb' and c.relkind in ('r', 'p') and c.relpersistence = 'u'
        order by 1
        """
    )
    for row in rows:
        yield Finding(
            "unlogged",
            "error",
            f"table {row['name']} is unlogged",
            "A crash of the server empties it: every repeat is executed again.",
            f"alter table {row['name']} set logged;",
        )


def _public(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select o.thing, a.privilege_type as privilege
        from pg_namespace as n
        cross join lateral (
            select 'schema idemdb' as thing, n.nspacl as acl, 'n'::"char" as kind, n.nspowner as owner
            union all
            select 'function ' || p.oid::regprocedure, p.proacl, 'f', p.proowner
            from pg_proc as p where p.pronamespace = n.oid
            union all
            select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass, c.relacl,
                case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner
            from pg_class as c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'S')
        ) as o
        cross join lateral aclexplode(coalesce(o.acl, acldefault(o.kind, o.owner))) as a
        where n.nspname = 'idemdb' and a.grantee = 0
        order by 1, 2
        """
    )
    for row in rows:
        yield Finding(
            "public",
            "error",
            f"every role has {row['privilege']} on {row['thing']}",
            "Any login can use, erase or resolve the keys of all applications.",
            f"revoke {row['privilege'].lower()} on {row['thing']} from public;",
        )


def _roles(patient: Patient) -> Iterator[Finding]:
    version = min(_version(patient), resources.latest())
    wanted = _granted(resources.release_file(version, "roles.sql").read_text(encoding="utf-8"))
    rows = patient.rows(
        """
        select w.role, r.oid is null as absent, has_schema_privilege(r.oid, n.oid, 'usage') as enters,
            array_agg(w.object order by w.object) filter (
                where not coalesce(
                    has_function_privilege(r.oid, p.oid, 'execute'),
                    has_table_privilege(r.oid, c.oid, 'select')
                )
            ) as lacking
        from unnest(%(roles)s::text[], %(objects)s::text[]) as w (role, object)
        left join pg_roles as r on r.rolname = w.role
        join pg_namespace as n on n.nspname = 'idemdb'
        left join pg_proc as p on p.pronamespace = n.oid and p.proname = w.object
        left join pg_class as c on c.relnamespace = n.oid and c.relname = w.object and p.oid is null
        group by w.role, r.oid, n.oid
        order by w.role
        """,
        roles=[role for role, _ in wanted],
        objects=[object_ for _, object_ in wanted],
    )
    mend = f"idemdb sql --from {version - 1} --to {version} | psql  (may be run again: it renews the rights)"
    for row in rows:
        if row["absent"]:
            what, why = (
                "does not exist",
                "Applications would have to connect as the owner of idemdb's tables.",
            )
        elif not row["enters"]:
            what, why = "has no USAGE on schema idemdb", "Its members can call nothing."
        elif row["lacking"]:
            what, why = f"cannot use {', '.join(row['lacking'])}", "Its members' calls fail with 42501."
        else:
            continue
        yield Finding("roles", "warning", f"role {row['role']} {what}", why, mend)


def _granted(roles_sql: str) -> list[tuple[str, str]]:
    """Return the pairs of role and object that a release grants."""
    return [
        (role.strip(), name)
        for objects, roles in _GRANTED.findall(roles_sql)
        for role in roles.split(",")
        for name in _NAME.findall(_ARGUMENTS.sub("", objects))
    ]


def _member(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select quote_ident(current_user) as name
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'idemdb' and p.proname = 'claim'
            and not (has_function_privilege(p.oid, 'execute') and has_schema_privilege(n.oid, 'usage'))
        """
    )
    for row in rows:
        yield Finding(
            "member",
            "warning",
            f"the connecting role {row['name']} may not call idemdb.claim",
            "An application that connects as this role fails with 42501.",
            f"grant idemdb_user to {row['name']};",
        )


def _leases(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select state, sum(keys)::bigint as keys from idemdb.key_overview
        where state in ('abandoned', 'unresolved') group by state order by state
        """
    )
    for row in rows:
        if row["state"] == "unresolved":
            yield Finding(
                "leases",
                "warning",
                f"{row['keys']} unresolved: the holder vanished, nobody knows whether the work was done",
                "Their repeats get no answer until a person decides.",
                "idemdb unresolved\nidemdb resolve SCOPE KEY completed|retry|forget --note WHY",
            )
        else:
            yield Finding(
                "leases",
                "warning",
                f"{row['keys']} abandoned: the lease ran out before the work was done",
                "The next request with the same key takes over; until one comes the work stays undone.",
                "send those requests again; look for workers that die or leases that are too short",
            )


def _swept(patient: Patient) -> Iterator[Finding]:
    rows = patient.rows(
        """
        select c.pass_completed_at::text as last
        from idemdb.sweep_cursor as c
        where c.what = 'keys' and coalesce(c.pass_completed_at, '-infinity') < clock_timestamp() - %(limit)s
            and exists (select from idemdb.keys as k where k.forget_at < clock_timestamp() - %(limit)s)
        """,
        limit=patient.limits.swept,
    )
    for row in rows:
        last = f"ended its last round at {row['last']}" if row["last"] else "never went round"
        yield Finding(
            "swept",
            "warning",
            f"keys are past their time, and sweep {last}",
            "The table grows, and answers are kept for longer than was promised.",
            "idemdb sweep --every 60s  (as a service)\n"
            "select cron.schedule('idemdb', '* * * * *', 'select idemdb.sweep()');  (with pg_cron)",
        )


CHECKS = (
    Check("schema", "the schema is installed and fits this package", _schema),
    Check("objects", "every object is the released one", _objects, needs_schema=True),
    Check("unlogged", "the tables are logged", _unlogged, needs_schema=True),
    Check("public", "PUBLIC has no rights", _public, needs_schema=True),
    Check("roles", "the roles have their rights", _roles, needs_schema=True),
    Check("member", "the connecting role may claim", _member, needs_schema=True),
    Check("leases", "no claim is past its lease", _leases, needs_schema=True),
    Check("swept", "sweep keeps up", _swept, needs_schema=True),
)
