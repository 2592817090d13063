"""Owns the tables that only the console uses. They share one ``metadata`` with the tables of the store."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from gatepost_quarantine.sql.schema import metadata

__all__ = ["account", "choice", "console_key", "doom", "mark", "metadata", "session"]

# A local account. ``roles`` and ``queues`` are words with spaces between; ``password`` is an Argon2id hash.
account = Table(
    "console_account",
    metadata,
    Column("name", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# A sign-in that lasts. The browser has the token; only its digest is kept.
session = Table(
    "console_session",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("console_session_name", "name"),
    Index("console_session_expires_at", "expires_at"),
)

# A rule that was wrong about a message, as a reviewer says.
mark = Table(
    "console_mark",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("console_mark_rule", "rule", "at"),
)

# A message that is to be deleted, and may be spared until then.
doom = Table(
    "console_doom",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Index("console_doom_due_at", "due_at"),
)

# What the console signs with.
console_key = Table(
    "console_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# What somebody chose for their own pages: a saved filter, or which columns they want.
choice = Table(
    "console_choice",
    metadata,
    Column("person", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
