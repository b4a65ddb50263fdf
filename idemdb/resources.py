"""Find the SQL and migration files that ship with the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """Return the folder ``name`` of the checkout, or the wheel's copy of it inside the package."""
    checkout = _PACKAGE.parent / name
    # In an editable install the checkout is the truth; a copy inside the package could be stale.
    if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    return _PACKAGE / name


SQL = _folder("sql")
MIGRATIONS = _folder("migrations")
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
