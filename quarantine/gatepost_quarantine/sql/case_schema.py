"""Owns the tables of cases. They share one ``metadata`` with the tables of the store."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from gatepost_quarantine.sql.schema import metadata

__all__ = ["case_link", "case_note", "case_record", "metadata"]

# What a role looks into. Not called “case”: that is a word of SQL, and people read these tables by hand.
case_record = Table(
    "case_record",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("closed_at", BigInteger),
    Index("case_record_opened_at", "opened_at", "id"),
    Index("case_record_queue", "queue", "opened_at", "id"),
)

# What was written down about a case.
case_note = Table(
    "case_note",
    metadata,
    Column("case_id", Text, ForeignKey("case_record.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
)

# Which held messages belong to a case, in the order of ``position``.
case_link = Table(
    "case_link",
    metadata,
    Column("case_id", Text, ForeignKey("case_record.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("message_id", Text, ForeignKey("message.id"), nullable=False),
    Index("case_link_message_id", "message_id"),
)
