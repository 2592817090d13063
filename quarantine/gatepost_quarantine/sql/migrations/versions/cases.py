"""Cases: what a role looks into, what is written down about it, and which held messages belong to it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables."""
    words = ("kind", "title", "queue", "reference", "opened_by", "outcome", "closed_by")
    op.create_table(
        "case_record",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in words),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
    )
    op.create_index("case_record_opened_at", "case_record", ["opened_at", "id"])
    op.create_index("case_record_queue", "case_record", ["queue", "opened_at", "id"])
    op.create_table(
        "case_note",
        sa.Column("case_id", sa.Text, sa.ForeignKey("case_record.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "case_link",
        sa.Column("case_id", sa.Text, sa.ForeignKey("case_record.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), nullable=False),
    )
    op.create_index("case_link_message_id", "case_link", ["message_id"])
