"""Notices that wait for others to the same addressee, and the one mail that they became."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns, and the index that counts what somebody was told lately."""
    op.add_column("outbox", sa.Column("gathers", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("outbox", sa.Column("merged_into", sa.BigInteger))
    op.create_index("outbox_told", "outbox", ["recipient", "done_at"])
    merged = sa.text("merged_into IS NOT NULL")
    op.create_index("outbox_merged", "outbox", ["merged_into"], sqlite_where=merged, postgresql_where=merged)
