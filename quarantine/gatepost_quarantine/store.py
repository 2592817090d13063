"""Owns the Store protocol: the only door to what is held and owed. ``sql`` implements it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gatepost_quarantine.audit import Event
from gatepost_quarantine.held import (
    Chunks,
    HeldMessage,
    HeldRecipient,
    HoldOutcome,
    Notice,
    State,
)


class StoreError(Exception):
    """The store cannot do it now: disk full, database away, lock not had. The caller temp-fails."""


class NotFoundError(StoreError):
    """No held message has this id."""


class ConflictError(StoreError):
    """The recipient is not in a state that allows this (a denied message cannot be released)."""


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
class OwedRelease:
    """An outbox row: send a held message to one recipient. ``to`` differs only if released elsewhere."""

    row: int
    attempts: int
    held: HeldMessage
    recipient: HeldRecipient
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedNotice:
    """An outbox row: send a notice. ``rendered`` is empty until the courier has rendered and kept it."""

    row: int
    attempts: int
    notice: Notice
    rendered: bytes


class Store(Protocol):
    """What is held and what is owed. Every method is one transaction; all raise StoreError when they cannot."""

    def hold(
        self,
        held: HeldMessage,
        *,
        content: Chunks,
        notices: Sequence[Notice] = (),
        events: Sequence[Event] = (),
    ) -> HoldOutcome:
        """Keep the message, its notices and its events in one commit, or join an earlier hold of its key."""
        ...

    def owe(self, notices: Sequence[Notice], *, key: str, events: Sequence[Event] = ()) -> bool:
        """Owe notices without holding anything (warnings); False if the same key was owed lately."""
        ...

    def get(self, held_id: str) -> HeldMessage:
        """The held message with the present state of its recipients; ids may be shortened if unambiguous."""
        ...

    def content(self, held_id: str) -> Iterator[bytes]:
        """The message bytes as they were held, in pieces."""
        ...

    def list(self, wanted: Filter) -> Sequence[HeldMessage]:
        """Held messages, oldest first."""
        ...

    def release(
        self, held_id: str, *, recipients: Sequence[str] = (), to: str = "", actor: str, reason: str = ""
    ) -> HeldMessage:
        """Owe the release to these recipients (all that are held if none is given). Idempotent."""
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
        """Decide that these recipients never get it."""
        ...

    def delete(self, held_id: str, *, actor: str, reason: str = "") -> None:
        """Remove the bytes and mark every undecided recipient deleted; the record and its events stay."""
        ...

    def record(self, event: Event) -> None:
        """Append one event."""
        ...

    def events(self, held_id: str) -> Sequence[Event]:
        """The history of one held message, oldest first."""
        ...

    def claim(self, *, worker: str, lease: float, limit: int = 10) -> Sequence[OwedRelease | OwedNotice]:
        """Owed rows that are due, claimed for ``lease`` seconds so that no other courier sends them."""
        ...

    def keep_rendered(self, row: int, rendered: bytes) -> None:
        """Keep a notice's bytes before its first try, so that every resend is byte-equal."""
        ...

    def sent(self, row: int, *, reply: str, actor: str) -> None:
        """The mail was accepted with this SMTP reply: done."""
        ...

    def failed(self, row: int, *, reply: str, retry_in: float | None, actor: str) -> None:
        """The try failed; try again in ``retry_in`` seconds, or give up (None) and return it to ``held``."""
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...
