"""Owns what is remembered about mail that has gone through, and the protocol that keeps it.

Nobody is named: mailboxes, pairs of correspondents and contents are keyed digests. Days are ``date.toordinal`` in
the school's own time zone. What is here is never the only reason to hold or lose mail, so it may be a little late
and a crash may lose the last seconds of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is new. ``wrote`` and ``heard`` are the day on which the school wrote to the other of a pair, or heard
    from them; ``tallies`` are increments by (day, what, who); ``contents`` are (day, content, recipient)."""

    wrote: Mapping[bytes, int] = field(default_factory=dict)
    heard: Mapping[bytes, int] = field(default_factory=dict)
    tallies: Mapping[tuple[int, str, bytes], int] = field(default_factory=dict)
    contents: Set[tuple[int, bytes, bytes]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.wrote or self.heard or self.tallies or self.contents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What has changed up to ``seq``, as it stands now: totals, not increments, so that reading twice is harmless.

    ``pairs`` are (pair, last day the school wrote, first day it heard, day of the last note), 0 for never.
    ``started`` is the day of the first note ever, 0 before it.
    """

    seq: int
    started: int
    pairs: Sequence[tuple[bytes, int, int, int]]
    tallies: Sequence[tuple[int, str, bytes, int]]
    contents: Sequence[tuple[int, bytes, bytes]]


class Histories(Protocol):
    """What is kept of history. Every method is one transaction; all raise StoreError when they cannot."""

    def remember(self, batch: Batch) -> None:
        """Add what is new to what is kept."""
        ...

    def recall(self, after: int, *, day: int) -> Recalled:
        """What has changed since ``after`` (0: everything); of tallies and contents only those from ``day`` on."""
        ...

    def history_key(self) -> bytes:
        """The 32 bytes that digests are keyed with, the same for every gateway of this store."""
        ...

    def forget_history(self, *, pairs_before: int, counts_before: int, dry_run: bool = False) -> int:
        """Remove pairs not noted since a day, and tallies and contents of earlier days; how many rows."""
        ...
