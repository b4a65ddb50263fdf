"""Checks of the typed row helpers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from idemdb import row_helpers
from idemdb.doctor.check import Check, Patient
from idemdb.finding import Finding


def _helpers(patient: Patient) -> Iterator[Finding]:
    for stale in row_helpers.stale(row_helpers.of_psycopg(patient.connection)):
        helper = stale.helper
        words = [helper.table, helper.key, "--verb", helper.verb, "--schema", helper.schema]
        chosen = [word for column in helper.columns or () for word in ("--column", column)]
        verb, words = ("add", words + chosen) if stale.renewed else ("drop", words)
        yield Finding(
            "helpers",
            "warning",
            f"helper {helper.schema}.{helper.name} is stale: {stale.why}",
            "It goes by columns and an index that are no longer so: it may leave a column out, or fail.",
            f"idemdb helpers {verb} {shlex.join(words)}",
        )


CHECKS = (Check("helpers", "the typed row helpers fit their tables", _helpers),)
