"""Owns the tables. The migrations make them; a test holds the two together.

Times are microseconds since 1970 in UTC and texts that came in with a message are JSON in ASCII, so that both
engines keep exactly the same: no time zone, no collation and no character set has a say.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

# A held message. ``record`` is what never changes about it; the other columns are there to be searched. ``seal``
# is the head of a sealed body (JSON), ``legal_hold`` why it must be kept, ``reminded`` how many reminders went
# out, and ``place`` its row in the search index of SQLite: in the order of ``received_at``, no two the same.
message = Table(
    "message",
    metadata,
    Column("id", Text, primary_key=True),
    Column("gateway", Text, nullable=False),
    Column("support_id", Text, nullable=False),
    Column("queue_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored", Boolean, nullable=False),
    Column("search_text", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("seal", Text, nullable=False, default="", server_default=""),
    Column("legal_hold", Text, nullable=False, default="", server_default=""),
    Column("reminded", Integer, nullable=False, default=0, server_default="0"),
    Column("place", BigInteger, nullable=False, default=0, server_default="0"),
    Index("message_place", "place"),
    Index("message_stored", "received_at", sqlite_where=text("stored"), postgresql_where=text("stored")),
    Index("message_received_at", "received_at"),
    Index("message_support_id", "support_id"),
    Index("message_message_id", "message_id"),
    Index("message_sender", "sender"),
    Index("message_queue", "queue", "received_at"),
    Index(
        "message_search",
        "search_text",
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    ).ddl_if(dialect="postgresql"),
)

# Which rules had a part in holding it.
message_rule = Table(
    "message_rule",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("received_at", BigInteger, nullable=False, default=0, server_default="0"),
    Index("message_rule_rule", "rule", "received_at", "message_id"),
)

# Which roles review it: those of the rules that act, until it is passed on to another.
message_reviewer = Table(
    "message_reviewer",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("received_at", BigInteger, nullable=False, default=0, server_default="0"),
    Index("message_reviewer_queue", "queue", "received_at", "message_id"),
)

# How many messages a rule had a part in holding: by the day it was (since 1970, UTC), the direction of the first
# recipient, and all the roles that review the message (with spaces between), so that it can be counted for
# anybody whose sight the roles decide. Kept in the transaction that holds a message or passes it on.
rule_day = Table(
    "rule_day",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("rule", Text, primary_key=True),
    Column("direction", Text, primary_key=True),
    Column("queues", Text, primary_key=True),
    Column("held", BigInteger, nullable=False),
)

# Where it stands for one recipient. ``record`` is what never changes about the recipient.
recipient = Table(
    "recipient",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("address", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", BigInteger),
    Column("reason", Text, nullable=False),
    Column("released_to", Text, nullable=False),
    Column("reply", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False, default=0, server_default="0"),
    Index("recipient_state", "state", "received_at", "message_id"),
    Index("recipient_address", "address"),
)

# The bytes, in order, each piece a zstd frame with a checksum of its own. ``size`` is before compression.
chunk = Table(
    "chunk",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Who owns an idempotency key, and until when. The row is the lock that two gateways race for.
key_window = Table(
    "key_window",
    metadata,
    Column("key", Text, primary_key=True),
    Column("held_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("key_window_expires_at", "expires_at"),
)

# What is owed: releases (``position`` names the recipient) and notices (``notice`` says what to write). A notice
# that ``gathers`` waits for others to the same addressee; then all are ``merged_into`` the row of one digest.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("position", Integer),
    Column("recipient", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("rendered", LargeBinary),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("lease_until", BigInteger),
    Column("done_at", BigInteger),
    Column("reply", Text, nullable=False),
    Column("gathers", Boolean, nullable=False, default=False, server_default=false()),
    Column("merged_into", BigInteger),
    Index(
        "outbox_due", "due_at", "id", sqlite_where=text("state = 'owed'"), postgresql_where=text("state = 'owed'")
    ),
    Index("outbox_message", "message_id"),
    Index("outbox_told", "recipient", "done_at"),
    Index(
        "outbox_merged",
        "merged_into",
        sqlite_where=text("merged_into IS NOT NULL"),
        postgresql_where=text("merged_into IS NOT NULL"),
    ),
)

# The audit. Triggers refuse to change or remove a row; ``digest`` chains it to the row before. ``segment`` is the
# month that it was written in. Where there is a ``commitment``, the digest covers that instead of the personal
# fields (actor, recipient, reason, details), and these may be blanked together with the salt.
event = Table(
    "event",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("verb", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("held_id", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("segment", Text, nullable=False, default="", server_default=""),
    Column("salt", Text, nullable=False, default="", server_default=""),
    Column("commitment", Text, nullable=False, default="", server_default=""),
    Index("event_segment", "gateway", "segment", "seq"),
    Index("event_held_id", "held_id"),
    Index("event_at", "at"),
)

# The last link of each gateway's chain: the row that writers of one chain queue up for.
chain_head = Table(
    "chain_head",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("segment", Text, nullable=False, default="", server_default=""),
)
