"""The example in plain SQL moves the money once."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from tests.docs.pages import ROOT, Shell
from tests.support.database import Server


def test_it_moves_the_money_once(dsn: str, server: Server) -> None:
    folder = ROOT / "examples/plain_sql"
    shell = Shell(dsn, server.psql, folder, Path(sys.executable))

    shell.sql((folder / "accounts.sql").read_text())
    for outcome in ("started", "replayed", "replayed"):
        printed = shell.sql((folder / "transfer.sql").read_text())
        assert printed.count(outcome) == 2
        assert '{"left": 700}' in printed
        assert "not enough money" in printed
    for outcome in ("started", "replayed", "replayed"):
        assert f'{outcome} {{"left": 400}}' in shell.sql((folder / "claim.sql").read_text())
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("select cents from app.accounts order by name").fetchall()
    assert rows == [(400,), (600,)]
