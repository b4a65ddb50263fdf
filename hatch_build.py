"""Put ``sql/``, ``migrations/`` and the demo's input into the package of a built wheel.

An editable install reads them from the checkout (``idemdb/resources.py``), so it gets no copies that could
grow stale.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_RESOURCES = {
    "sql": "idemdb/sql",
    "migrations": "idemdb/migrations",
    "examples/pay_three_times/payments.jsonl": "idemdb/demo/payments.jsonl",
}


class ResourcesHook(BuildHookInterface[Any]):
    """Include the resources in the standard wheel only, never in the editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the resources to a standard wheel.

        :param version: ``standard`` or ``editable``.
        :param build_data: hatchling's description of the wheel, changed in place.
        """
        if version == "standard":
            build_data["force_include"].update(_RESOURCES)
