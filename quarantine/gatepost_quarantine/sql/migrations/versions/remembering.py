"""Rulings, and what history remembers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables, and the two numbers that grow."""
    numbers = op.create_table(
        "revision",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("started", sa.Integer, nullable=False),
    )
    rows = [{"name": name, "number": 0, "started": 0} for name in ("rulings", "history")]
    op.bulk_insert(numbers, rows)
    _rulings()
    _history()


def _rulings() -> None:
    texts = ("kind", "rule", "sender", "recipient", "sha256", "reason", "actor")
    op.create_table(
        "ruling",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text, nullable=False),
    )
    op.create_index("ruling_expires_at", "ruling", ["expires_at"])


def _history() -> None:
    op.create_table(
        "correspondence",
        sa.Column("pair", sa.LargeBinary, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("wrote", "heard", "seen")),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index("correspondence_seq", "correspondence", ["seq"])
    op.create_index("correspondence_seen", "correspondence", ["seen"])
    op.create_table(
        "day_tally",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("who", sa.LargeBinary, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index("day_tally_seq", "day_tally", ["seq"])
    op.create_table(
        "day_content",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, primary_key=True),
        sa.Column("recipient", sa.LargeBinary, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index("day_content_seq", "day_content", ["seq"])
