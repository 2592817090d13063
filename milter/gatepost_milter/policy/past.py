"""Owns the past as rules may ask about it: who has written to whom, how often, and what.

This is only the question. ``history`` answers it from memory; a policy's tests answer it from the document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """What is known about a mailbox of the school and an outside address.

    ``wrote``: the school has written to the address. ``known``: it has, or it has heard from it on an earlier day.
    """

    wrote: bool
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """The outside addresses to which one sender sent one content on a day: ``earlier`` than this message, and
    ``recipients`` with it."""

    earlier: int
    recipients: int


class Past(Protocol):
    """What has been before this message. Days are ``date.toordinal``."""

    def acquaintance(self, ours: str, theirs: str, *, day: int) -> Acquaintance:
        """What is known about the school's mailbox ``ours`` and the outside address ``theirs``."""
        ...

    def sent(self, mailbox: str, *, day: int) -> int:
        """Messages that the mailbox has sent on the day."""
        ...

    def private(self, mailbox: str, *, day: int) -> int:
        """Those of them that went to consumer domains and to nobody whom the directory knows."""
        ...

    def alike(self, mailbox: str, content: Iterable[str], recipients: Iterable[str], *, day: int) -> Alike:
        """To how many outside addresses the mailbox has sent this content on the day."""
        ...


class NoPast:
    """A past of which nothing is known: nobody is new, and nobody has sent anything."""

    def acquaintance(self, ours: str, theirs: str, *, day: int) -> Acquaintance:
        """Everybody is known: without a memory everybody would be new, and that says nothing."""
        return Acquaintance(wrote=True, known=True)

    def sent(self, mailbox: str, *, day: int) -> int:
        """None."""
        return 0

    def private(self, mailbox: str, *, day: int) -> int:
        """None."""
        return 0

    def alike(self, mailbox: str, content: Iterable[str], recipients: Iterable[str], *, day: int) -> Alike:
        """Only those of this message."""
        return Alike(earlier=0, recipients=len(set(recipients)))


NO_PAST = NoPast()
