"""Owns cases: what a role looks into, from the first report to its outcome, and the protocol that keeps them.

A case belongs to one role. If that role is one of safeguarding's, the case is confidential as its messages are:
every read takes a ``Sight``, and what somebody may not see is not found, listed or counted. While a case is open,
time takes nothing of its messages; somebody who deletes one still can.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from gatepost_quarantine.review import Sight

_ID_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"

EVERYTHING = Sight(ordinary=True, confidential=True, safeguarding=frozenset())
"""The sight of whoever may read the store itself, as the command line does."""


class CaseKind(StrEnum):
    """Why there is a case: somebody reported a mail, a rule was broken, mail reached the wrong person, or else."""

    REPORT = "report"
    BREACH = "breach"
    RECEIPT = "receipt"
    OTHER = "other"


class CaseState(StrEnum):
    """Where a case stands. A closed case stays closed; a new one may be opened for the same messages."""

    OPEN = "open"
    CLOSED = "closed"


def new_case_id() -> str:
    """A random id, short enough to read out: 39 bits, without letters that are misread."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. ``queue`` is the role that it belongs to; ``opened_by`` a person, a mailbox or a service.

    ``reference`` is the Message-ID of a mail that was reported and is in a mailbox, not in the quarantine.
    ``held`` are the full ids of the held messages that belong to it, in the order in which they were linked.
    ``outcome`` is what came of it, said when it was closed.
    """

    kind: CaseKind
    title: str
    queue: str
    opened_by: str
    id: str = field(default_factory=new_case_id)
    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    reference: str = ""
    held: tuple[str, ...] = ()
    outcome: str = ""
    closed_by: str = ""
    closed_at: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a case that is nobody's or about nothing."""
        if not self.queue.strip() or not self.opened_by.strip():
            raise ValueError("a case belongs to a role, and somebody opened it")
        if not self.title.strip():
            raise ValueError("a case needs a title")

    @property
    def state(self) -> CaseState:
        """Whether anybody still looks into it."""
        return CaseState.OPEN if self.closed_at is None else CaseState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNote:
    """What somebody wrote down about a case. Notes are never changed."""

    actor: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A case with its notes, oldest first."""

    case: Case
    notes: tuple[CaseNote, ...]


class Cases(Protocol):
    """What is kept of cases. Every method is one transaction; all raise StoreError when they cannot.

    Methods that change a case raise NotFoundError also for one that may not be seen, and ConflictError for a
    closed one. Each change is an event of the audit, without the words of notes, titles and outcomes.
    A gateway opens cases with ``Store.hold`` and ``Store.owe``, in the commit of what it holds or owes.
    """

    def open_case(self, case: Case) -> Case:
        """Keep a new case; ``held`` may hold shortened ids and comes back with full ones. Raises NotFoundError."""
        ...

    def case(self, case_id: str, *, sight: Sight) -> CaseFile:
        """One case and its notes. An id may be shortened while it is unambiguous. Raises NotFoundError."""
        ...

    def cases(
        self,
        *,
        sight: Sight,
        state: CaseState | None = None,
        kind: CaseKind | None = None,
        queue: str = "",
        held_id: str = "",
        limit: int = 100,
    ) -> Sequence[Case]:
        """The newest ``limit`` cases that may be seen; ``held_id`` (in full) wants those that it belongs to."""
        ...

    def note_case(self, case_id: str, text: str, *, actor: str, sight: Sight) -> CaseNote:
        """Write something down. Raises ConflictError for nothing but blanks."""
        ...

    def link_case(self, case_id: str, held_id: str, *, actor: str, sight: Sight) -> Case:
        """Let a held message belong to the case; one that does already stays. Raises NotFoundError.

        Whether the actor may see the message is the caller's to ask (``Review.item``).
        """
        ...

    def pass_case(self, case_id: str, *, queue: str, actor: str, reason: str, sight: Sight) -> Case:
        """Give the case to another role, with a note that says why; only that role's people see it then."""
        ...

    def close_case(self, case_id: str, *, outcome: str, actor: str, sight: Sight) -> Case:
        """Close it with what came of it, which must be said. Raises ConflictError."""
        ...

    def forget_cases(self, before: datetime, *, actor: str, reason: str, dry_run: bool = False) -> int:
        """Erase the words and names of cases that were closed before ``before``; how many there are.

        That there was a case, of which kind, whose, and when it was opened and closed, stays.
        """
        ...
