"""The console's tables, and which roles review a message."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_PAGE = 500


def upgrade() -> None:
    """Make the tables, and fill ``message_reviewer`` for what is already held."""
    op.create_table(
        "message_reviewer",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("queue", sa.Text, primary_key=True),
    )
    op.create_index("message_reviewer_queue", "message_reviewer", ["queue"])
    _fill_queues()
    op.create_table(
        "console_account",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "console_session",
        sa.Column("digest", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("name", "title", "source", "roles", "queues", "csrf")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("created_at", "seen_at", "expires_at")),
    )
    op.create_index("console_session_name", "console_session", ["name"])
    op.create_index("console_session_expires_at", "console_session", ["expires_at"])
    op.create_table(
        "console_mark",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("console_mark_rule", "console_mark", ["rule", "at"])
    op.create_table(
        "console_doom",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
    op.create_index("console_doom_due_at", "console_doom", ["due_at"])
    op.create_table(
        "console_key",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def _fill_queues() -> None:
    message = sa.table("message", sa.column("id"), sa.column("record"))
    message_reviewer = sa.table("message_reviewer", sa.column("message_id"), sa.column("queue"))
    connection = op.get_bind()
    after = ""
    while True:
        page = sa.select(message).where(message.c.id > after).order_by(message.c.id).limit(_PAGE)
        rows = connection.execute(page).all()
        if not rows:
            return
        after = rows[-1].id
        found = [
            {"message_id": row.id, "queue": queue} for row in rows for queue in _queues(json.loads(row.record))
        ]
        if found:
            connection.execute(sa.insert(message_reviewer), found)


def _queues(record: dict[str, Any]) -> list[str]:
    named = {record["queue"]}
    for finding in record["explanation"]["findings"]:
        if any(action != "pass" for action in finding["actions"].values()):
            named.add(finding["queue"])
    return sorted(each for each in named if each)
