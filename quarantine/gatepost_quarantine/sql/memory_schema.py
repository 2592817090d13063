"""Owns the tables of what outlives a message without being held mail: rulings, and what history remembers.

History needs nobody's name: its keys are keyed digests (BLAKE2b with a key of this store's own), so that a copy of
these tables alone does not say who writes to whom.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from gatepost_quarantine.sql.schema import metadata

__all__ = ["correspondence", "day_content", "day_tally", "metadata", "revision", "ruling"]

# Numbers that grow with every change, so that whoever follows asks for what is newer than the last one seen.
# The row is locked until the change is committed, so numbers are committed in their order and none is missed.
# ``started`` is the day of the first change, 0 before it.
revision = Table(
    "revision",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("started", Integer, nullable=False),
)

# A block or an exemption. A row is never changed but to end it, and removed when records are forgotten.
ruling = Table(
    "ruling",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_by", Text, nullable=False),
    Index("ruling_expires_at", "expires_at"),
)

# A mailbox of the school and an outside address between which mail has gone. Days count from 1 January
# of the year 1: ``wrote`` is the last on which the school wrote, ``heard`` the first on which the other did,
# 0 for never.
correspondence = Table(
    "correspondence",
    metadata,
    Column("pair", LargeBinary, primary_key=True),
    Column("wrote", Integer, nullable=False),
    Column("heard", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("correspondence_seq", "seq"),
    Index("correspondence_seen", "seen"),
)

# How much somebody did of something on a day.
day_tally = Table(
    "day_tally",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("what", Text, primary_key=True),
    Column("who", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("day_tally_seq", "seq"),
)

# To whom outside one sender sent one content on a day.
day_content = Table(
    "day_content",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, primary_key=True),
    Column("recipient", LargeBinary, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Index("day_content_seq", "seq"),
)
