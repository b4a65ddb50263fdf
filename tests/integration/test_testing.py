"""``idemdb.testing`` as a user's project takes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CONFTEST = 'pytest_plugins = ["idemdb.testing"]\n'
_TEST = """
import pytest
from idemdb import AnswerExpired, Idem
from idemdb.testing import age_key

@pytest.mark.parametrize("turn", [1, 2])
def test_an_answer_expires(idemdb_connection, turn):
    idem = Idem(idemdb_connection)
    assert idem.run("s", "k", lambda op: turn).value == turn
    assert idem.run("s", "k", lambda op: 0).value == turn
    # A bound claim is open to its own transaction; only an ended one can grow old.
    age_key(idemdb_connection, "s", "k", 25 * 3600)
    with pytest.raises(AnswerExpired):
        idem.run("s", "k", lambda op: 0)
    with pytest.raises(LookupError):
        age_key(idemdb_connection, "s", "other", 1)
"""


def test_the_fixtures_install_and_leave_nothing(tmp_path: Path, empty_dsn: str) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_user.py").write_text(_TEST)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
    ]
    environment = {**os.environ, "IDEMDB_TEST_DSN": empty_dsn}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout
