"""What senders answer about their held mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "sender_answer",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("choice", "sender", "reason", "via")),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("sender_answer_choice", "sender_answer", ["choice", "at"])
