"""Look at a database for what weakens idemdb's promises, and say how to mend it."""

from __future__ import annotations

from typing import Any

import psycopg

from idemdb.doctor import events, rows, schema, server
from idemdb.doctor.check import Check, Limits, Patient
from idemdb.finding import Finding

__all__ = ["CHECKS", "Check", "Finding", "Limits", "examine"]

CHECKS: tuple[Check, ...] = (*server.CHECKS, *schema.CHECKS, *events.CHECKS, *rows.CHECKS)


def examine(connection: psycopg.Connection[Any], *, limits: Limits | None = None) -> list[Finding]:
    """Run every check, and return what they found, at least one finding for each.

    Reads only. A check that the role has no right to make says so as ``info``.

    :param connection: in autocommit mode, so that one refused query does not spoil the next.
    :param limits: from when on a thing is old.
    :raises ValueError: when the connection is not in autocommit mode.
    """
    if not connection.autocommit:
        raise ValueError("examine() needs a connection in autocommit mode")
    patient = Patient(connection, limits or Limits())
    installed = schema.installed(patient)
    checks = (check for check in CHECKS if installed or not check.needs_schema)
    return [finding for check in checks for finding in _run(check, patient)]


def _run(check: Check, patient: Patient) -> list[Finding]:
    try:
        found = list(check.look(patient))
    except psycopg.errors.InsufficientPrivilege as error:
        why = error.diag.message_primary or ""
        return [Finding(check.id, "info", "not looked at", why, "connect as a member of idemdb_admin")]
    return found or [Finding(check.id, "ok", check.healthy)]
