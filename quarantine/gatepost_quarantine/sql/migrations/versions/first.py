"""The first tables: messages, recipients, bytes, keys, the outbox, and the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and the triggers that keep the audit append-only."""
    _messages()
    _outbox()
    _audit()


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("support_id", sa.Text, nullable=False),
        sa.Column("queue_id", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("message_received_at", "message", ["received_at"])
    op.create_index("message_support_id", "message", ["support_id"])
    op.create_index("message_message_id", "message", ["message_id"])
    op.create_index("message_sender", "message", ["sender"])
    op.create_index("message_queue", "message", ["queue", "received_at"])
    op.create_table(
        "message_rule",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("rule", sa.Text, primary_key=True),
    )
    op.create_index("message_rule_rule", "message_rule", ["rule"])
    op.create_table(
        "recipient",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("released_to", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("recipient_state", "recipient", ["state", "message_id"])
    op.create_index("recipient_address", "recipient", ["address"])
    op.create_table(
        "chunk",
        sa.Column("message_id", sa.Text, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    if _on_postgresql():
        # The pieces are compressed already; a second attempt by the server would only cost time.
        op.execute("ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "key_window",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("held_id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("key_window_expires_at", "key_window", ["expires_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("notice", sa.Text, nullable=False),
        sa.Column("rendered", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("reply", sa.Text, nullable=False),
    )
    owed = sa.text("state = 'owed'")
    op.create_index("outbox_due", "outbox", ["due_at", "id"], sqlite_where=owed, postgresql_where=owed)
    op.create_index("outbox_message", "outbox", ["message_id"])


def _audit() -> None:
    op.create_table(
        "event",
        sa.Column("gateway", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("held_id", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
    )
    op.create_index("event_held_id", "event", ["held_id"])
    op.create_index("event_at", "event", ["at"])
    op.create_table(
        "chain_head",
        sa.Column("gateway", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
    )
    if _on_postgresql():
        op.execute(
            "CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event "
            "FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER event_no_{change.lower()} BEFORE {change} ON event "
            "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        )


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
