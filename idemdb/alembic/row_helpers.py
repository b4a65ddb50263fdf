"""Alembic operations that make and drop typed row helpers, and autogenerate's proposals to renew them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.plugins import Plugin
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult

from idemdb import row_helpers
from idemdb.errors import IdemError
from idemdb.helper_sql import VERBS

if TYPE_CHECKING:
    # Alembic is still at loading itself when it loads this module as a plugin.
    from alembic.autogenerate.api import AutogenContext


class _Nothing(MigrateOperation):
    """Do nothing here, and something in the other direction.

    Autogenerate turns the order of operations round for a downgrade. Helpers have to be renewed last in both.
    """

    def __init__(self, other_way: MigrateOperation | None = None) -> None:
        self.other_way = other_way

    def reverse(self) -> MigrateOperation:
        return self.other_way or _Nothing()

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("nothing",)


class _OfHelpers(MigrateOperation):
    def __init__(
        self,
        table: str,
        natural_key: str,
        verbs: Sequence[str],
        schema: str | None,
        columns: Sequence[str] | None = None,
        other_way: MigrateOperation | None = None,
    ) -> None:
        self.table = table
        self.natural_key = natural_key
        self.verbs = tuple(verbs)
        self.schema = schema
        self.columns = None if columns is None else tuple(columns)
        self.other_way = other_way

    def reverse(self) -> MigrateOperation:
        return self.other_way or _Nothing()


@Operations.register_operation("create_row_helpers")
class CreateRowHelpersOp(_OfHelpers):
    """Make typed row helpers, or renew them."""

    @classmethod
    def create_row_helpers(
        cls,
        operations: Operations,
        table: str,
        natural_key: str,
        verbs: Sequence[str] = VERBS,
        schema: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Make typed functions beside a table: ``users_put_by_email_key(p_email, p_name)``.

        They are written from the catalogue, so this works online only. Run again it renews them, and whoever
        could execute them still can.

        :param table: its name, without schema.
        :param natural_key: the name of a unique index or constraint of it that exists.
        :param verbs: some of create, put, delete, create_many, put_many.
        :param schema: of the table; else it is found by ``search_path``.
        :param columns: what they take beside the key's columns; else all without default, identity or
            generation.
        """
        operations.invoke(cls(table, natural_key, verbs, schema, columns))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("create_row_helpers", self.schema, self.table, self.natural_key, self.verbs)


@Operations.register_operation("drop_row_helpers")
class DropRowHelpersOp(_OfHelpers):
    """Drop typed row helpers."""

    @classmethod
    def drop_row_helpers(
        cls,
        operations: Operations,
        table: str,
        natural_key: str,
        verbs: Sequence[str] = VERBS,
        schema: str | None = None,
    ) -> None:
        """Drop the typed helpers of a table and natural key, where they are there.

        :param table: as for ``create_row_helpers``; neither table nor index need exist any more.
        :param natural_key: as for ``create_row_helpers``.
        :param verbs: of the helpers.
        :param schema: of the table.
        """
        operations.invoke(cls(table, natural_key, verbs, schema))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("drop_row_helpers", self.schema, self.table, self.natural_key, self.verbs)


@Operations.implementation_for(CreateRowHelpersOp)
def _create(operations: Operations, operation: CreateRowHelpersOp) -> None:
    _need_postgresql(operations)
    if operations.migration_context.as_sql:
        raise CommandError(
            "create_row_helpers reads the table's columns and cannot run offline (--sql). Run the migration "
            "online, or put what this prints into an op.execute of the revision: "
            f"idemdb helpers add {operation.table} {operation.natural_key} --sql"
        )
    try:
        row_helpers.create(
            row_helpers.of_sqlalchemy(operations.get_bind()),
            operation.table,
            operation.natural_key,
            operation.verbs,
            schema=operation.schema,
            columns=operation.columns,
        )
    except IdemError as error:
        raise CommandError(str(error)) from error


@Operations.implementation_for(DropRowHelpersOp)
def _drop(operations: Operations, operation: DropRowHelpersOp) -> None:
    _need_postgresql(operations)
    context = operations.migration_context
    try:
        statements = row_helpers.drop_statements(
            operation.table, operation.natural_key, operation.verbs, schema=operation.schema
        )
    except IdemError as error:
        raise CommandError(str(error)) from error
    for statement in statements:
        if context.as_sql:
            context.impl.static_output(statement + context.impl.command_terminator)
        else:
            row_helpers.of_sqlalchemy(operations.get_bind()).execute(statement)


def _need_postgresql(operations: Operations) -> None:
    dialect = operations.migration_context.impl.dialect.name
    if dialect != "postgresql":
        raise CommandError(f"idemdb needs PostgreSQL, and this database is {dialect}")


@renderers.dispatch_for(_Nothing)
def _render_nothing(_context: AutogenContext, _operation: _Nothing) -> list[str]:
    return []


@renderers.dispatch_for(CreateRowHelpersOp)
def _render_create(context: AutogenContext, operation: CreateRowHelpersOp) -> str:
    return _render(context, "create_row_helpers", operation)


@renderers.dispatch_for(DropRowHelpersOp)
def _render_drop(context: AutogenContext, operation: DropRowHelpersOp) -> str:
    return _render(context, "drop_row_helpers", operation)


def _render(context: AutogenContext, name: str, operation: _OfHelpers) -> str:
    context.imports.add("import idemdb.alembic  # noqa: F401  (op.create_row_helpers)")
    arguments = [repr(operation.table), repr(operation.natural_key), f"verbs={list(operation.verbs)!r}"]
    if operation.schema is not None:
        arguments.append(f"schema={operation.schema!r}")
    if operation.columns is not None:
        arguments.append(f"columns={list(operation.columns)!r}")
    prefix = context.opts.get("alembic_module_prefix") or ""
    return f"{prefix}{name}({', '.join(arguments)})"


def _propose(context: AutogenContext, upgrade: ops.UpgradeOps) -> PriorityDispatchResult:
    """Propose to renew helpers whose table changed or is about to, and to drop those whose index is gone."""
    if context.connection is not None and context.connection.dialect.name == "postgresql":
        default = context.connection.dialect.default_schema_name
        database = row_helpers.of_sqlalchemy(context.connection)
        changed, dropped = _about_to_change(upgrade, default)
        stale = {(s.helper.schema, s.helper.name): s for s in row_helpers.stale(database)}
        groups: dict[tuple[Any, ...], list[str]] = {}
        for helper in row_helpers.installed(database):
            if helper.schema != default and not context.opts.get("include_schemas"):
                continue
            found = stale.get((helper.schema, helper.name))
            where = (helper.schema, helper.table)
            if where in dropped or (*where, helper.key) in dropped:
                fate = "drop"
            elif found is not None and found.renewed is None:
                fate = "gone"
            elif found is not None or where in changed:
                fate = "renew"
            else:
                continue
            groups.setdefault((fate, *where, helper.key, helper.columns), []).append(helper.verb)
        _add(upgrade, groups, default)
    return PriorityDispatchResult.CONTINUE


def _add(upgrade: ops.UpgradeOps, groups: dict[tuple[Any, ...], list[str]], default: str | None) -> None:
    for (fate, schema, table, key, columns), verbs in groups.items():
        about = (table, key, verbs, None if schema == default else schema)
        again = CreateRowHelpersOp(*about, columns)
        if fate == "renew":
            upgrade.ops.insert(0, _Nothing(again))
            upgrade.ops.append(CreateRowHelpersOp(*about, columns))
        elif fate == "drop":
            upgrade.ops.insert(0, DropRowHelpersOp(*about, other_way=again))
        else:
            upgrade.ops.append(DropRowHelpersOp(*about))


def _about_to_change(
    upgrade: ops.UpgradeOps, default: str | None
) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """Return the tables whose columns the revision changes, and the tables and indexes that it drops."""
    changed: set[tuple[Any, ...]] = set()
    dropped: set[tuple[Any, ...]] = set()
    for operation in _each(upgrade.ops):
        where = (getattr(operation, "schema", None) or default, str(getattr(operation, "table_name", "")))
        if isinstance(operation, ops.AddColumnOp | ops.DropColumnOp | ops.AlterColumnOp):
            changed.add(where)
        elif isinstance(operation, ops.DropTableOp):
            dropped.add(where)
        elif isinstance(operation, ops.DropConstraintOp):
            dropped.add((*where, str(operation.constraint_name)))
        elif isinstance(operation, ops.DropIndexOp):
            dropped.add((*where, str(operation.index_name)))
    return changed, dropped


def _each(operations: Sequence[Any]) -> Iterator[Any]:
    for operation in operations:
        if isinstance(operation, ops.ModifyTableOps):
            yield from operation.ops
        else:
            yield operation


# Alembic asks the plugins of this name's kind unless env.py says otherwise; its older, global table of
# comparators is not there yet when entry points are loaded.
Plugin("alembic.autogenerate.idemdb_row_helpers").add_autogenerate_comparator(
    _propose, "autogenerate", "idemdb_row_helpers", priority=DispatchPriority.LAST
)
