"""Owns rulings: blocks and exemptions that a person makes while mail flows, and the protocol that keeps them.

A ruling is never changed. It ends by itself, because each says until when, or somebody ends it; the record stays.
A revision number grows with every change, so that whoever follows the rulings asks for one number.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol


class RulingKind(StrEnum):
    """What a ruling does: mail that matches is held, or a rule does not act on it."""

    BLOCK = "block"
    EXEMPT = "exempt"


def new_ruling_id() -> str:
    """A random id, short enough to type."""
    return secrets.token_hex(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One block or exemption; what is empty does not narrow it, and something must.

    ``sender`` and ``recipient`` are mailboxes, or ``@domain`` for everybody there. ``sha256`` is that of a file in
    hexadecimal. ``rule`` is the rule that does not act; a block has none. ``ended_at`` is when somebody ended it
    before its time.
    """

    kind: RulingKind
    reason: str
    actor: str
    expires_at: datetime
    rule: str = ""
    sender: str = ""
    recipient: str = ""
    sha256: str = ""
    id: str = field(default_factory=new_ruling_id)
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    ended_by: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a ruling that would say nothing, or everything."""
        if not (self.sender or self.recipient or self.sha256):
            raise ValueError("a ruling is about a sender, a recipient or a file: name at least one")
        if (self.kind is RulingKind.EXEMPT) != bool(self.rule):
            raise ValueError("an exemption is from one rule, and a block is from none")
        if not self.reason.strip():
            raise ValueError("a ruling needs a reason")

    def in_force(self, at: datetime) -> bool:
        """Whether it holds at that moment."""
        return self.ended_at is None and at < self.expires_at

    @property
    def about(self) -> str:
        """Whom and what it is about, in words."""
        parts = [self.sender, f"to {self.recipient}" if self.recipient else ""]
        parts.append(f"file {self.sha256[:12]}…" if self.sha256 else "")
        return " ".join(part for part in parts if part)


class Rulings(Protocol):
    """What is kept of rulings. Every method is one transaction; all raise StoreError when they cannot."""

    def add_ruling(self, ruling: Ruling) -> None:
        """Keep a new ruling and its event. Raises ConflictError if its time is over already."""
        ...

    def end_ruling(self, ruling_id: str, *, kind: RulingKind, actor: str, reason: str) -> Ruling:
        """End a ruling before its time, with its event; one that is over stays as it was. Raises NotFoundError."""
        ...

    def rulings(self, *, kind: RulingKind | None = None, over: bool = False) -> Sequence[Ruling]:
        """The rulings in force, oldest first; with ``over`` also those that are over."""
        ...

    def forget_rulings(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove rulings that were over before that moment; how many. Their events stay in the audit."""
        ...

    def ruling_revision(self) -> int:
        """A number that grows with every change to the rulings."""
        ...
