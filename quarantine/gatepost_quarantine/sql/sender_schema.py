"""Owns the table of what senders answered. It shares one ``metadata`` with the tables of the store."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from gatepost_quarantine.sql.schema import metadata

__all__ = ["metadata", "sender_answer"]

# What the sender of a held message answered. One row for each message, so that the first answer stands.
sender_answer = Table(
    "sender_answer",
    metadata,
    Column("message_id", Text, ForeignKey("message.id"), primary_key=True),
    Column("choice", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("sender_answer_choice", "choice", "at"),
)
