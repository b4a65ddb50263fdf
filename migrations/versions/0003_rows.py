"""Install release 3 of idemdb: rows of the user's own tables."""

from __future__ import annotations

from alembic import op

import idemdb.alembic  # noqa: F401

revision = "idemdb_0003"
down_revision = "idemdb_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Install release 3."""
    op.idemdb_upgrade(to=3, from_=2)


def downgrade() -> None:
    """Take release 3 down."""
    op.idemdb_downgrade(to=2, from_=3)
