"""Owns the Store protocol: the only door to what is held and owed. ``sql`` implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gatepost_quarantine.audit import Event, Link
from gatepost_quarantine.cases import Case
from gatepost_quarantine.held import (
    Chunks,
    HeldMessage,
    HeldRecipient,
    HoldOutcome,
    Notice,
    SenderAnswer,
    State,
)


class StoreError(Exception):
    """The store cannot do it now: disk full, database away, lock not had. The caller temp-fails."""


class NotFoundError(StoreError):
    """No held message has this id, or several do, or it has no such recipient."""


class ConflictError(StoreError):
    """The recipient is not in a state that allows this (a denied message cannot be released)."""


class SealedError(ConflictError):
    """The message is sealed: no program of ours shows, exports or releases it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which held messages to list. Empty fields do not filter; ``search`` is a case-blind substring."""

    states: frozenset[State] = frozenset()
    search: str = ""
    rule: str = ""
    queue: str = ""
    since: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message that retention has come to. ``reminded`` counts; ``kept`` is what keeps it, or empty.

    A legal hold keeps a message until it is ended, a case until it is closed.
    """

    held: HeldMessage
    reminded: int
    kept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedRelease:
    """An outbox row: send a held message to one recipient. ``to`` differs only if released elsewhere."""

    row: int
    attempts: int
    held: HeldMessage
    recipient: HeldRecipient
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedNotice:
    """An outbox row: send a notice. ``rendered`` is empty until the courier has rendered and kept it.

    ``gathers`` says that it has waited for others to the same addressee, to go out as one mail with them.
    """

    row: int
    attempts: int
    owed_at: datetime
    notice: Notice
    rendered: bytes
    gathers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The state of the store in numbers, for metrics and ``gatepost doctor``.

    ``unreviewed`` counts recipients that are held, ``owed`` outbox rows; ages are in seconds, 0 when there is
    nothing to wait for. ``unreviewed_by_queue`` has the queues in which anybody waits, ``owed_by_kind`` always
    both kinds. ``free`` and ``floor`` are bytes; ``free`` is -1 where the database cannot tell.
    """

    unreviewed: int
    oldest_unreviewed: float
    owed: int
    oldest_owed: float
    free: int
    floor: int
    unreviewed_by_queue: Mapping[str, int] = field(default_factory=dict)
    owed_by_kind: Mapping[str, int] = field(default_factory=dict)


class Store(Protocol):
    """What is held and what is owed. Every method is one transaction; all raise StoreError when they cannot.

    A held id may be shortened while it is unambiguous, and the support id of the explanation serves too. Methods
    that take one raise NotFoundError if it leads to no message or to several. Leases and retries are in seconds.
    """

    def hold(
        self,
        held: HeldMessage,
        *,
        content: Chunks,
        notices: Sequence[Notice] = (),
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> HoldOutcome:
        """Keep message, notices, events and new cases in one commit, or join an earlier hold of its key."""
        ...

    def owe(
        self,
        notices: Sequence[Notice],
        *,
        key: str,
        key_has_message_id: bool = True,
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> bool:
        """Owe notices, and open cases, without holding anything; False if the same key was owed lately."""
        ...

    def get(self, held_id: str) -> HeldMessage:
        """The held message with the present state of its recipients."""
        ...

    def content(self, held_id: str) -> Iterator[bytes]:
        """The message bytes as they were held, in pieces.

        Raises SealedError for a sealed message. Once begun, raises NotFoundError if the bytes have been deleted,
        and StoreError at the piece that is missing or damaged: what came before is no whole message.
        """
        ...

    def list(self, wanted: Filter) -> Sequence[HeldMessage]:
        """Held messages, oldest first."""
        ...

    def release(
        self, held_id: str, *, recipients: Sequence[str] = (), to: str = "", actor: str, reason: str = ""
    ) -> HeldMessage:
        """Owe the release to these recipients (all that are held if none is given). Idempotent.

        ``to`` sends one recipient's copy to another address; it needs exactly one recipient. Raises SealedError
        for a sealed message, NotFoundError for a recipient that it does not have, and ConflictError if one that is
        named was decided otherwise, if none is held or released, or if the bytes are gone; then none is released.
        """
        ...

    def deny(
        self,
        held_id: str,
        *,
        recipients: Sequence[str] = (),
        actor: str,
        reason: str = "",
        notices: Sequence[Notice] = (),
    ) -> HeldMessage:
        """Decide that these recipients never get it. The notices are owed only if this decides anything.

        Raises NotFoundError and ConflictError as ``release`` does, and ConflictError while a release is under way.
        """
        ...

    def answer(self, answer: SenderAnswer, *, notices: Sequence[Notice] = ()) -> SenderAnswer:
        """Do what the sender answered about every recipient that is held; the notices are owed along with it.

        The first answer stands: asked again, it comes back and nothing is done. Raises ConflictError when the
        sender has no such choice (``choices.choices``), most often because somebody has decided meanwhile.
        """
        ...

    def answers(self, ids: Sequence[str]) -> Mapping[str, SenderAnswer]:
        """What the senders of these messages answered, by full id; who did not answer is not in it."""
        ...

    def requests(self, *, limit: int = 100) -> Sequence[SenderAnswer]:
        """The ``limit`` senders who have waited longest since they asked a reviewer about a message that waits."""
        ...

    def key(self, name: str) -> bytes:
        """32 random bytes to sign with, shared by every process of this store, made at the first call."""
        ...

    def spend(self, token: str, *, until: datetime) -> bool:
        """Use up a token; True the first time only. It is remembered until then, so it must be void after."""
        ...

    def delete(self, held_id: str, *, actor: str, reason: str = "") -> None:
        """Remove the bytes and mark every undecided recipient deleted; the record and its events stay.

        Raises ConflictError under legal hold, and while a release is under way.
        """
        ...

    def record(self, event: Event) -> None:
        """Append one event."""
        ...

    def events(self, held_id: str) -> Sequence[Event]:
        """The history of one held message, oldest first."""
        ...

    def chain(self, gateway: str) -> Iterator[Link]:
        """Every event of one gateway, in order, as ``audit.verify`` reads it."""
        ...

    def claim(self, *, worker: str, lease: float, limit: int = 10) -> Sequence[OwedRelease | OwedNotice]:
        """Owed rows that are due, claimed for ``lease`` seconds so that no other courier sends them.

        Releases of one held message that are due come together, even past ``limit``. A claim counts as an
        attempt, so that a mail that ends the courier shows.
        """
        ...

    def renew(self, rows: Sequence[int], *, worker: str, lease: float) -> bool:
        """Keep claimed rows for another ``lease`` seconds; False if any is no longer this worker's to send."""
        ...

    def let_go(self, rows: Sequence[int], *, worker: str) -> None:
        """Give back claimed rows that this worker has not begun to send, so that nobody waits for the lease."""
        ...

    def told(self, address: str, *, since: datetime) -> int:
        """How many notices were sent to this address since then."""
        ...

    def gather(self, rows: Sequence[int], *, worker: str, due_at: datetime) -> None:
        """Let claimed notices wait, until then at most, for others to their addressee; all are claimed at once."""
        ...

    def merge(self, rows: Sequence[int], notice: Notice, *, worker: str) -> bool:
        """Owe one notice in the place of claimed ones; False if some are no longer this worker's."""
        ...

    def keep_rendered(self, row: int, rendered: bytes) -> None:
        """Keep a notice's bytes before its first try, so that every resend is byte-equal."""
        ...

    def sent(self, row: int, *, reply: str, actor: str, notices: Sequence[Notice] = ()) -> None:
        """The mail was accepted with this SMTP reply: done. The notices are owed the first time this is said."""
        ...

    def failed(self, row: int, *, reply: str, retry_in: float | None, actor: str) -> None:
        """The try failed; try again in ``retry_in`` seconds, or give up (None) and return it to ``held``."""
        ...

    def hold_again(self, row: int, *, reason: str, actor: str) -> None:
        """The second look objects to a release: it goes back to ``held``, with the reason where replies stand."""
        ...

    def held_again(self, held_id: str) -> frozenset[str]:
        """The recipients whose release was objected to once. Who releases it again, by its full id, insists."""
        ...

    def counts(self) -> Counts:
        """The state of the store in numbers."""
        ...

    def tidy(self) -> None:
        """Housekeeping without consequences: forget keys whose window is over, give free pages back."""
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...
