"""Put ``sql/`` and ``migrations/`` into the package of a built wheel.

An editable install reads both from the checkout (``idemdb/resources.py``), so it gets no copies that could
grow stale.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ResourcesHook(BuildHookInterface[Any]):
    """Include the resources in the standard wheel only, never in the editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add both folders to a standard wheel.

        :param version: ``standard`` or ``editable``.
        :param build_data: hatchling's description of the wheel, changed in place.
        """
        if version == "standard":
            build_data["force_include"].update({"sql": "idemdb/sql", "migrations": "idemdb/migrations"})
