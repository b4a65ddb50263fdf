"""Build the statements that take a database from one release of the schema to another."""

from __future__ import annotations

from idemdb import resources

# One lock for all installs in a database: "idemdb" as a number.
ADVISORY_LOCK = int.from_bytes(b"idemdb", "big")

_BLOCK_TAG = "$idemdb_block$"
_FILE_TAG = "$idemdb_file$"

# A block is one statement: it is atomic in every client, also in one that commits after each statement.
# It looks at what is installed after it has the lock, so that the second of two installs finds nothing to do.
_BEGIN = f"""\
do {_BLOCK_TAG}
declare
    v_installed integer := 0;
begin
    perform pg_catalog.pg_advisory_xact_lock({ADVISORY_LOCK});
    if pg_catalog.to_regprocedure('idemdb.version()') is not null then
        execute 'select idemdb.version()' into v_installed;
    end if;
"""

_UPGRADE = """\
    if v_installed > {release} then
        raise notice 'idemdb: release % is installed, which includes release {release}', v_installed;
        return;
    elsif v_installed < {previous} then
        raise exception 'idemdb: release {release} needs release {previous}, and % is installed', v_installed
            using errcode = 'ID005', hint = 'Install the releases in order: call op.idemdb_upgrade without '
                'from_, or make the script with idemdb sql --from ' || v_installed || '.';
    end if;
    if v_installed < {release} then
"""

_DOWNGRADE = """\
    if v_installed < {release} then
        raise notice 'idemdb: release {release} is not installed';
        return;
    elsif v_installed > {release} then
        raise exception 'idemdb: release % is installed, and only the newest can be taken down', v_installed
            using errcode = 'ID005', hint = 'Take the releases down in order, from the newest.';
    end if;
"""

# Without `cascade`, and last: an Alembic version table may live in the schema too.
DROP_SCHEMA = """\
    begin
        drop schema idemdb;
    exception when dependent_objects_still_exist then
        raise notice 'idemdb: schema idemdb stays, as it holds other objects';
    end;
"""


def _execute(release: int, name: str) -> str:
    """Return the plpgsql statement that runs one frozen file."""
    text = resources.release_file(release, name).read_text(encoding="utf-8")
    if _BLOCK_TAG in text or _FILE_TAG in text:
        raise ValueError(f"{name} of release {release} contains {_BLOCK_TAG} or {_FILE_TAG}")
    return f"execute {_FILE_TAG}\n{text}{_FILE_TAG};\n"


def _upgrade_block(release: int, roles: bool) -> str:
    block = _BEGIN + _UPGRADE.format(release=release, previous=release - 1)
    block += _execute(release, "upgrade.sql") + "    end if;\n"
    if roles:
        # Outside the condition: the same release again renews the rights.
        block += _execute(release, "roles.sql")
    return block + f"end\n{_BLOCK_TAG}"


def _downgrade_block(release: int, force: bool) -> str:
    block = _BEGIN + _DOWNGRADE.format(release=release)
    if force:
        block += "    perform pg_catalog.set_config('idemdb.force', 'on', true);\n"
    block += _execute(release, "downgrade.sql")
    if force:
        block += "    perform pg_catalog.set_config('idemdb.force', 'off', true);\n"
    if release == 1:
        block += DROP_SCHEMA
    return block + f"end\n{_BLOCK_TAG}"


def upgrade(to: int, from_: int = 0, *, roles: bool = True) -> list[str]:
    """Return the statements that install releases, one statement for each.

    Each can be run again: it does nothing where its release is installed already, except that it
    renews the rights of the roles. Two sessions that run them at once wait for each other.

    :param to: the release to arrive at.
    :param from_: the release that is installed; 0 for none.
    :param roles: whether to create ``idemdb_user``, ``idemdb_admin`` and ``idemdb_reader`` and grant to them.
    :raises ValueError: unless 0 <= from_ < to.
    :raises FileNotFoundError: when this package carries no such release.
    """
    if not 0 <= from_ < to:
        raise ValueError(f"an upgrade goes from a release to a later one, not from {from_} to {to}")
    return [_upgrade_block(release, roles) for release in range(from_ + 1, to + 1)]


def downgrade(to: int, from_: int, *, force: bool = False) -> list[str]:
    """Return the statements that take releases down, one statement for each, the newest first.

    They refuse with ID004 while there are keys that are not to be forgotten yet. After release 1 the schema
    is dropped if it is empty.

    :param to: the release to arrive at; 0 for none.
    :param from_: the release that is installed.
    :param force: whether to forget the keys that are still remembered.
    :raises ValueError: unless 0 <= to < from_.
    :raises FileNotFoundError: when this package carries no such release.
    """
    if not 0 <= to < from_:
        raise ValueError(f"a downgrade goes from a release to an earlier one, not from {from_} to {to}")
    return [_downgrade_block(release, force) for release in range(from_, to, -1)]


def script(from_: int, to: int, *, roles: bool = True, force: bool = False) -> str:
    """Return a script for psql, Flyway, Liquibase and the like.

    It needs no transaction around it, and allows one.

    :param from_: the release that is installed; 0 for none.
    :param to: the release to arrive at; a smaller one than ``from_`` gives the downgrade.
    :param roles: as for `upgrade`.
    :param force: as for `downgrade`.
    :raises ValueError: when from_ and to are equal, or below 0.
    """
    up = from_ < to
    statements = upgrade(to, from_, roles=roles) if up else downgrade(to, from_, force=force)
    title = f"-- idemdb: from release {from_} to release {to}; may be run again.\n"
    return title + "\n" + "".join(f"{statement};\n\n" for statement in statements)
