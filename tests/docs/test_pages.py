"""The code on every page of the documentation runs, and prints what the page shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Shell, blocks, outputs
from tests.support.database import Server

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if any(block.language in ("python", "sql") for block in blocks(page))
    # Two show pieces of revisions, of env.py and of another extension; test_newcomer.py follows the third.
    and page.name not in ("install-with-alembic.md", "sweep-with-a-loop-or-pg-cron.md", "first-key.md")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path, dsn: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDEMDB_DSN", dsn)
    for where, shown, got in outputs(page, Shell(dsn, server.psql, tmp_path, Path(sys.executable))):
        assert got == shown, where


class TestTheRunner:
    """A page with a mistake does not pass."""

    @pytest.fixture
    def shell(self, dsn: str, server: Server, tmp_path: Path) -> Shell:
        return Shell(dsn, server.psql, tmp_path, Path(sys.executable))

    @pytest.mark.parametrize(
        "page",
        [
            "```python\nprint(1)\n```\n\n```text\n2\n```\n",
            "```sql\nselect 1 as one;\n```\n\n```text\n2\n```\n",
            "<!-- file: one.py -->\n```python\nprint(1)\n```\n\n```console\n$ python one.py\n2\n```\n",
        ],
    )
    def test_sees_another_output(self, page: str, shell: Shell) -> None:
        (shell.folder / "page.md").write_text(page)
        ((_, shown, got),) = outputs(shell.folder / "page.md", shell)
        assert shown == "2"
        assert got != shown

    @pytest.mark.parametrize("page", ["```python\n1 / 0\n```\n", "```sql\nselect nothing;\n```\n"])
    def test_sees_an_error(self, page: str, shell: Shell) -> None:
        (shell.folder / "page.md").write_text(page)
        with pytest.raises((ZeroDivisionError, AssertionError)):
            list(outputs(shell.folder / "page.md", shell))
