"""Alembic operations that install idemdb's releases."""

from __future__ import annotations

from collections.abc import Iterable

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from sqlalchemy import text

from idemdb.alembic import install


@Operations.register_operation("idemdb_upgrade")
class UpgradeOp(MigrateOperation):
    """Install releases of idemdb's schema."""

    def __init__(self, to: int, from_: int, roles: bool) -> None:
        self.to = to
        self.from_ = from_
        self.roles = roles

    @classmethod
    def idemdb_upgrade(cls, operations: Operations, to: int, from_: int = 0, roles: bool = True) -> None:
        """Install idemdb's releases after ``from_`` up to ``to``.

        Does nothing for a release that is installed already. ``alembic -x idemdb_roles=no`` is the same as
        ``roles=False``.

        :param to: the release to arrive at.
        :param from_: the release that an earlier revision installed; 0 for none.
        :param roles: whether to create idemdb's roles and grant to them.
        """
        operations.invoke(cls(to, from_, roles))


@Operations.register_operation("idemdb_downgrade")
class DowngradeOp(MigrateOperation):
    """Take releases of idemdb's schema down."""

    def __init__(self, to: int, from_: int, force: bool) -> None:
        self.to = to
        self.from_ = from_
        self.force = force

    @classmethod
    def idemdb_downgrade(cls, operations: Operations, to: int, from_: int, force: bool = False) -> None:
        """Take idemdb's releases from ``from_`` down to ``to``.

        Refuses (SQLSTATE ID004) while keys are remembered. ``alembic -x idemdb_force=yes`` is the same as
        ``force=True``.

        :param to: the release to arrive at; 0 for none.
        :param from_: the release that is installed.
        :param force: whether to forget the keys that are still remembered.
        """
        operations.invoke(cls(to, from_, force))


@Operations.implementation_for(UpgradeOp)
def _upgrade(operations: Operations, operation: UpgradeOp) -> None:
    roles = operation.roles and _argument(operations, "idemdb_roles", default=True)
    _send(operations, install.upgrade(operation.to, operation.from_, roles=roles))


@Operations.implementation_for(DowngradeOp)
def _downgrade(operations: Operations, operation: DowngradeOp) -> None:
    force = operation.force or _argument(operations, "idemdb_force", default=False)
    _send(operations, install.downgrade(operation.to, operation.from_, force=force))


def _argument(operations: Operations, name: str, *, default: bool) -> bool:
    """Return the truth of ``alembic -x name=yes|no``."""
    environment = operations.migration_context.environment_context
    if environment is None:
        return default
    value = environment.get_x_argument(as_dictionary=True).get(name)
    if value is None:
        return default
    if value not in ("yes", "no"):
        raise CommandError(f"-x {name}={value}: say yes or no")
    return bool(value == "yes")


def _send(operations: Operations, statements: Iterable[str]) -> None:
    """Run the statements, or write them where Alembic runs offline (``--sql``)."""
    context = operations.migration_context
    impl = context.impl
    if impl.dialect.name != "postgresql":
        raise CommandError(f"idemdb needs PostgreSQL, and this database is {impl.dialect.name}")
    for statement in statements:
        if context.as_sql:
            # Not through text(): for some drivers that would double every %.
            impl.static_output(statement + impl.command_terminator)
        else:
            operations.get_bind().execute(text(statement.replace(":", r"\:")))
