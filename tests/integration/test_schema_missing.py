from __future__ import annotations

import pytest

from idemdb import SchemaMissing
from tests.support.drivers import KITS


@pytest.mark.parametrize("kind", KITS)
async def test_a_database_without_idemdb_is_told_apart(kind: str, empty_dsn: str) -> None:
    kit = KITS[kind](empty_dsn)
    connection = await kit.open()
    try:
        with pytest.raises(SchemaMissing) as caught:
            async with kit.transaction(connection) as idem:
                await idem.version()
        assert "idemdb upgrade" in (caught.value.hint or "")
        async with kit.transaction(connection):
            await kit.sql(connection, "create schema idemdb")
        with pytest.raises(SchemaMissing):
            async with kit.transaction(connection) as idem:
                await idem.claim("s", "k", request={"a": 1})
        # What is missing of the application's own stays what it is.
        with pytest.raises(kit.database_error):
            async with kit.transaction(connection):
                await kit.sql(connection, "select app.pay()")
    finally:
        await kit.close()
