"""Install release 1 of idemdb: idempotency keys."""

from __future__ import annotations

from alembic import op

import idemdb.alembic  # noqa: F401

revision = "idemdb_0001"
down_revision = None
branch_labels = ("idemdb",)
depends_on = None


def upgrade() -> None:
    """Install release 1."""
    op.idemdb_upgrade(to=1)


def downgrade() -> None:
    """Take release 1 down."""
    op.idemdb_downgrade(to=0, from_=1)
