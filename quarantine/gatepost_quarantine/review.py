"""Owns the Review protocol: what the console asks of the store beyond deciding about held messages.

Who may see what is said with a ``Sight``, and every read takes one: what a person may not see is not counted,
not found by a search and not a neighbour of anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gatepost_config.words import Direction
from gatepost_quarantine.held import HeldMessage, State

CHOICES = 40
"""Choices of one kind that one person may keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Which held messages somebody may see.

    A message is confidential if any of the roles that review it is in ``safeguarding``. ``queues`` further
    restricts to messages that one of these roles reviews; empty does not restrict.
    """

    ordinary: bool
    confidential: bool
    safeguarding: frozenset[str]
    queues: frozenset[str] = frozenset()

    def covers(self, reviewed_by: frozenset[str]) -> bool:
        """Whether a message that these roles review may be seen."""
        category = self.confidential if self.safeguarding & reviewed_by else self.ordinary
        return category and (not self.queues or bool(self.queues & reviewed_by))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a list: just past this message, in its direction."""

    received_at: datetime
    held_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which held messages to list, and in which order. Empty fields do not filter.

    ``search`` is a case-blind substring of sender, recipients, subject, rule, clause, attachment name, SHA-256,
    Message-ID, queue id and support id.
    """

    states: frozenset[State] = frozenset()
    search: str = ""
    rule: str = ""
    queue: str = ""
    since: datetime | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A held message as a list shows it. ``queues`` review it; ``due_at`` is when it is to be deleted, if so.

    ``legal_hold`` is why it must be kept; empty if it need not.
    """

    held: HeldMessage
    queues: tuple[str, ...]
    stored: bool
    due_at: datetime | None = None
    doomed_by: str = ""
    legal_hold: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a list; ``more`` tells whether anything comes after it."""

    items: tuple[Item, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many there are, as far as it was worth counting; ``more`` tells whether there are more."""

    count: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.more else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many messages wait for a decision, and since when the oldest has."""

    tally: Tally
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the store is, for whoever looks at the overview. ``owed`` are mails that the courier has yet to send.

    ``oldest_owed`` is in seconds, 0 if nothing is owed; ``free`` and ``floor`` are bytes, ``free`` -1 where the
    database cannot tell.
    """

    owed: Tally
    oldest_owed: float
    free: int
    floor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDay:
    """How many messages a rule had a part in holding, on a day (UTC, as YYYY-MM-DD), in one direction."""

    rule: str
    day: str
    direction: Direction
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A reviewer's word that a rule was wrong about a message."""

    held_id: str
    rule: str
    actor: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A local account. ``password`` is an Argon2id hash; ``failures`` counts wrong passwords in a row."""

    name: str
    title: str
    password: str = field(repr=False)
    roles: frozenset[str]
    queues: frozenset[str] = frozenset()
    failures: int = 0
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody's sign-in. ``digest`` is the SHA-256 of the token that only the browser has."""

    digest: str
    name: str
    title: str
    source: str
    roles: frozenset[str]
    queues: frozenset[str]
    csrf: str = field(repr=False)
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Review(Protocol):
    """What the console asks. Every method is one transaction; all raise StoreError when they cannot."""

    def page(self, wanted: Wanted, *, sight: Sight, after: Place | None = None, limit: int = 50) -> Page:
        """One page of the messages that are wanted and may be seen: at most ``limit`` of them, past ``after``."""
        ...

    def item(self, held_id: str, *, sight: Sight) -> Item:
        """One message by its full id. Raises NotFoundError also for one that may not be seen."""
        ...

    def items(self, ids: Sequence[str], *, sight: Sight) -> Sequence[Item]:
        """Those of these messages that may be seen."""
        ...

    def rules(self, *, sight: Sight) -> Sequence[str]:
        """Every rule that had a part in holding a message of the last year that may be seen."""
        ...

    def queues(self, *, sight: Sight) -> Sequence[str]:
        """Every role that reviews a message of the last year that may be seen."""
        ...

    def find(self, name: str, *, sight: Sight) -> str:
        """The full id of the one message that has this id, support id or Message-ID; empty if none or several."""
        ...

    def waiting(self, *, sight: Sight) -> Waiting:
        """What waits for a decision."""
        ...

    def newer(self, than: datetime, *, sight: Sight) -> Tally:
        """How many messages that wait were received after ``than``."""
        ...

    def health(self) -> Health:
        """How the store is."""
        ...

    def by_rule(self, since: datetime, *, sight: Sight) -> Sequence[RuleDay]:
        """What was held since the day of ``since`` (UTC), by rule, day and direction."""
        ...

    def marks_by_rule(self, since: datetime, *, sight: Sight) -> Mapping[str, tuple[int, int]]:
        """For each rule, most held first: what it had a part in holding since that day, and how often wrongly."""
        ...

    def marks(self, held_id: str) -> Sequence[Mark]:
        """Which rules were wrong about this message."""
        ...

    def mark(self, mark: Mark) -> bool:
        """Keep a mark and its event; False if the rule was marked already."""
        ...

    def pass_on(self, held_id: str, *, queue: str, actor: str, reason: str) -> None:
        """Let another role review it, and only that role; with its event. Raises NotFoundError."""
        ...

    def doom(self, held_id: str, *, actor: str, reason: str, due_at: datetime) -> None:
        """Have it deleted at ``due_at`` unless it is spared; with its event.

        Raises NotFoundError, and ConflictError if it is deleted already, under legal hold, or being released.
        """
        ...

    def spare(self, held_id: str, *, actor: str) -> bool:
        """Take a deletion back; False if there is none to take back."""
        ...

    def doomed(self, now: datetime) -> Sequence[tuple[str, str, str]]:
        """(id, actor, reason) of each message whose deletion is due."""
        ...

    def forget_doom(self, held_id: str) -> None:
        """The deletion has been carried out, or cannot be: nothing is due any more."""
        ...

    def account(self, name: str) -> Account | None:
        """The local account of that name, compared without case."""
        ...

    def accounts(self) -> Sequence[Account]:
        """Every local account, by name."""
        ...

    def keep_account(self, account: Account, *, actor: str, what: str) -> None:
        """Make or change an account, with an event that says ``what``; ends its sessions."""
        ...

    def failed_sign_in(self, name: str, *, lock_after: int, until: datetime) -> int:
        """Count a wrong password, and lock the account at every ``lock_after``. The failures in a row."""
        ...

    def good_sign_in(self, name: str) -> None:
        """Forget the wrong passwords."""
        ...

    def start_session(self, session: Session) -> None:
        """Keep a session, and forget those that are over."""
        ...

    def session(self, digest: str) -> Session | None:
        """The session of that digest, with the present roles of a local account."""
        ...

    def touch_session(self, digest: str, *, at: datetime) -> None:
        """Note that the session is in use."""
        ...

    def end_session(self, digest: str) -> None:
        """End a session."""
        ...

    def choices(self, person: str, kind: str) -> Mapping[str, str]:
        """What somebody chose of this kind for their own pages: name and value, by name."""
        ...

    def choose(self, person: str, kind: str, name: str, value: str) -> None:
        """Keep a choice; an empty value forgets it. Raises ConflictError for more than CHOICES of a kind."""
        ...

    def key(self, name: str) -> bytes:
        """32 random bytes to sign with, made at the first call."""
        ...
