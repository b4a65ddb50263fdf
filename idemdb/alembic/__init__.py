"""Install idemdb's schema from Alembic migrations.

Alembic loads this module by itself (entry point group ``alembic.plugins``); a revision that imports it
works as well where entry points are not seen, as in a zip application.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin


def setup(plugin: Plugin) -> None:
    """Register the operations ``op.idemdb_upgrade`` and ``op.idemdb_downgrade``.

    :param plugin: what Alembic registers this module under.
    """
    from idemdb.alembic import operations, row_helpers  # noqa: F401  (importing them registers)


class _PluginModule(ModuleType):
    """A module that can be iterated: Alembic 1.18.0 to 1.20.0 take the entry point for a list of modules."""

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


# Before the first import of alembic below: that import may come back here for ``setup``.
sys.modules[__name__].__class__ = _PluginModule


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """Keep idemdb's objects out of autogenerate, which would propose to drop them.

    Needed in ``context.configure`` with ``include_schemas=True``.

    :param name: as Alembic passes it.
    :param type_: as Alembic passes it: ``schema``, ``table``, ``column`` and so on.
    :param parent_names: as Alembic passes it: the names around the object.
    :return: false for the schema ``idemdb`` and everything in it.
    """
    if type_ == "schema":
        return name != "idemdb"
    return bool(parent_names.get("schema_name") != "idemdb")


from idemdb.alembic import operations as _operations  # noqa: E402, F401  (registers without entry points)
from idemdb.alembic import row_helpers as _row_helpers  # noqa: E402, F401  (the same)
