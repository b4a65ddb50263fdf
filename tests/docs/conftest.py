"""Fixtures for the tests of the documentation."""

from __future__ import annotations

# A project with the built wheel, as a user has it.
from tests.migration.conftest import project, psql, python

__all__ = ["project", "psql", "python"]
