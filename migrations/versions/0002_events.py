"""Install release 2 of idemdb: events, streams, versions and the outbox."""

from __future__ import annotations

from alembic import op

import idemdb.alembic  # noqa: F401

revision = "idemdb_0002"
down_revision = "idemdb_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Install release 2."""
    op.idemdb_upgrade(to=2, from_=1)


def downgrade() -> None:
    """Take release 2 down."""
    op.idemdb_downgrade(to=1, from_=2)
