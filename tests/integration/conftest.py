"""The kinds of connections, for the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.drivers import KITS, Kit


@pytest.fixture(params=KITS)
async def kit(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Kit]:
    """Return connections of each kind to a fresh database with a table ``work``."""
    kit = KITS[request.param](dsn)
    connection = await kit.open()
    async with kit.transaction(connection):
        await kit.sql(connection, "create table work (n integer primary key)")
    yield kit
    await kit.close()
