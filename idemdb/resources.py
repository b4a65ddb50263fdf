"""Find the files that ship with the package: SQL, migrations, the demo's input."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(in_checkout: str, in_package: str) -> Path:
    """Return a file or folder of the checkout, or the wheel's copy of it inside the package."""
    checkout = _PACKAGE.parent / in_checkout
    # In an editable install the checkout is the truth; a copy inside the package could be stale.
    if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.exists():
        return checkout
    return _PACKAGE / in_package


SQL = _find("sql", "sql")
MIGRATIONS = _find("migrations", "migrations")
PAYMENTS = _find("examples/pay_three_times/payments.jsonl", "demo/payments.jsonl")
RELEASES = SQL / "releases"


def releases() -> list[int]:
    """Return the numbers of all released schema versions, ascending."""
    return sorted(int(path.name) for path in RELEASES.iterdir() if path.name.isdigit())


def latest() -> int:
    """Return the newest released schema version that this package carries."""
    return releases()[-1]


def release_file(number: int, name: str) -> Path:
    """Return the path of one frozen file of a release.

    :param number: the release, from 1.
    :param name: ``upgrade.sql``, ``downgrade.sql`` or ``roles.sql``.
    :raises FileNotFoundError: when this package carries no such release or file.
    """
    path = RELEASES / f"{number:04d}" / name
    if not path.is_file():
        known = ", ".join(map(str, releases()))
        raise FileNotFoundError(f"idemdb carries no {name} of release {number} (releases: {known})")
    return path
