"""Owns the past in memory: read while mail is judged, noted after it has gone, kept by whoever follows the store.

A message never waits for it. What is noted counts at once in this process, and in the others when it has been
written and they have read along. Nobody is named: all keys are keyed digests. Only what some active rule asks for
is noted at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from threading import Lock

from gatepost_config.addresses import normalise
from gatepost_milter.metrics import Counter
from gatepost_milter.policy.past import Acquaintance, Alike
from gatepost_quarantine.history import Batch, Recalled

ROOM = 20_000
"""Notes that may wait to be written; more are dropped. About ten minutes of a busy school's mail."""

CROWD = 1_000_000
"""Pairs that are known, above which senders from outside are no longer remembered: about 250 MB. Anybody can
invent any number of them; whom the school itself writes to is always remembered."""

REFRESH = 7
"""Days after which a pair that is known is noted again, so that it is not forgotten while it is in use."""

CONTENT = 65_536
"""Characters of a message's text by which its content is told from another."""

CACHED = 4096
"""Addresses, and pairs of them, whose digests are kept at hand."""

SENT, PRIVATE = "sent", "private"
_DIGEST = 12  # bytes; enough to tell a thousand million pairs apart

DROPPED = Counter(
    "gatepost_history_dropped",
    "Notes about past mail that were not kept: too many waited, or too many correspondents are known.",
)

_NEVER = (0, 0, 0)
_Tally = tuple[int, str, bytes]
_Content = tuple[int, bytes]


@dataclass(slots=True)
class _Notes:
    """Notes in one of the states between a message and the store."""

    wrote: dict[bytes, int] = field(default_factory=dict)
    heard: dict[bytes, int] = field(default_factory=dict)
    tallies: dict[_Tally, int] = field(default_factory=dict)
    contents: dict[_Content, set[bytes]] = field(default_factory=dict)
    count: int = 0

    def add(self, other: _Notes) -> None:
        """Take all of the other's notes over."""
        for pair, day in other.wrote.items():
            self.wrote[pair] = max(day, self.wrote.get(pair, 0))
        for pair, day in other.heard.items():
            self.heard[pair] = min(day, self.heard.get(pair, day))
        for tally, count in other.tallies.items():
            self.tallies[tally] = self.tallies.get(tally, 0) + count
        for content, recipients in other.contents.items():
            self.contents.setdefault(content, set()).update(recipients)
        self.count += other.count

    def batch(self) -> Batch:
        """All of it, as the store takes it."""
        contents = {(day, content, each) for (day, content), whom in self.contents.items() for each in whom}
        return Batch(wrote=self.wrote, heard=self.heard, tallies=self.tallies, contents=contents)


class History:
    """The past as one process knows it. Safe for many threads; only one may follow the store.

    ``learn`` is in days: as long as the memory is younger, nobody is called new, for everybody would be.
    A note is *new*, then *taken* (being written), then *written*, and gone when it has been recalled as part of
    the totals; until then it is counted on top of them.
    """

    def __init__(self, *, key: bytes, learn: int, room: int = ROOM, crowd: int = CROWD) -> None:
        self._crowd = crowd
        self._key = key
        self._learn = learn
        self._room = room
        self._lock = Lock()
        self._new, self._taken, self._written = _Notes(), _Notes(), _Notes()
        self._pairs: dict[bytes, tuple[int, int, int]] = {}
        self._tallies: dict[_Tally, int] = {}
        self._contents: dict[_Content, set[bytes]] = {}
        self._started: int | None = None
        self.seq = 0
        # A message asks first and notes afterwards, and the same people write again.
        self._pair = lru_cache(CACHED)(self._pair_of)
        self._one = lru_cache(CACHED)(self._one_of)

    # What is asked while a message is judged

    def acquaintance(self, ours: str, theirs: str, *, day: int) -> Acquaintance:
        """See Past.acquaintance. While the memory learns, or has not been read yet, everybody is known."""
        pair = self._pair(ours, theirs)
        wrote, heard, _ = self._pairs.get(pair, _NEVER)
        if not wrote:
            with self._lock:
                wrote = max(each.wrote.get(pair, 0) for each in self._waiting())
                heard = heard or max(each.heard.get(pair, 0) for each in self._waiting())
        return Acquaintance(wrote=wrote > 0, known=wrote > 0 or 0 < heard < day or self._learning(day))

    def sent(self, mailbox: str, *, day: int) -> int:
        """See Past.sent."""
        return self._count((day, SENT, self._one(mailbox)))

    def private(self, mailbox: str, *, day: int) -> int:
        """See Past.private."""
        return self._count((day, PRIVATE, self._one(mailbox)))

    def alike(self, mailbox: str, content: Iterable[str], recipients: Iterable[str], *, day: int) -> Alike:
        """See Past.alike."""
        key, whom = (day, self._content(mailbox, content)), self._digests(recipients)
        with self._lock:
            kept = [self._contents, *(each.contents for each in self._waiting())]
            before = set().union(*(each[key] for each in kept if key in each))
        return Alike(earlier=len(before), recipients=len(before | whom))

    # What is noted after a message has gone

    def note_wrote(self, ours: str, theirs: str, *, day: int) -> None:
        """The school's mailbox has written to the outside address."""
        pair = self._pair(ours, theirs)
        wrote, _, seen = self._pairs.get(pair, _NEVER)
        if not wrote or day - seen >= REFRESH:
            with self._lock:
                if pair not in self._new.wrote and self._has_room():
                    self._new.wrote[pair] = day

    def note_heard(self, ours: str, theirs: str, *, day: int) -> None:
        """The school's mailbox has heard from the outside address."""
        pair = self._pair(ours, theirs)
        _, heard, seen = self._pairs.get(pair, _NEVER)
        if not seen and len(self._pairs) >= self._crowd:
            DROPPED.inc()
        elif not heard or day - seen >= REFRESH:
            with self._lock:
                if pair not in self._new.heard and self._has_room():
                    self._new.heard[pair] = day

    def note_sent(self, mailbox: str, *, private: bool, day: int) -> None:
        """The mailbox has sent a message."""
        who = self._one(mailbox)
        with self._lock:
            if self._has_room():
                tallies = self._new.tallies
                for what in (SENT, PRIVATE) if private else (SENT,):
                    tallies[day, what, who] = tallies.get((day, what, who), 0) + 1

    def note_content(self, mailbox: str, content: Iterable[str], recipients: Iterable[str], *, day: int) -> None:
        """The mailbox has sent this content to these outside addresses."""
        key, whom = (day, self._content(mailbox, content)), self._digests(recipients)
        with self._lock:
            if self._has_room(len(whom)):
                self._new.contents.setdefault(key, set()).update(whom)

    # What whoever follows the store does, one after the other

    def take(self) -> Batch:
        """What is to be written now: all that is new, and what could not be written the last time."""
        with self._lock:
            self._taken.add(self._new)
            self._new = _Notes()
            return self._taken.batch()

    def kept(self) -> None:
        """What was taken has been written."""
        with self._lock:
            self._written.add(self._taken)
            self._taken = _Notes()

    def recalled(self, found: Recalled, *, day: int) -> None:
        """Take over what has changed in the store, by us and by others. Days before ``day`` are forgotten."""
        self._pairs.update((pair, (wrote, heard, seen)) for pair, wrote, heard, seen in found.pairs)
        contents: dict[_Content, set[bytes]] = {}
        for on, content, recipient in found.contents:
            contents.setdefault((on, content), set()).add(recipient)
        with self._lock:
            for key, whom in contents.items():
                self._contents.setdefault(key, set()).update(whom)
            self._tallies.update(((on, what, who), count) for on, what, who, count in found.tallies)
            self._written = _Notes()
            if any(key[0] < day for key in self._tallies) or any(key[0] < day for key in self._contents):
                self._tallies = {key: count for key, count in self._tallies.items() if key[0] >= day}
                self._contents = {key: whom for key, whom in self._contents.items() if key[0] >= day}
        self.seq, self._started = found.seq, found.started

    def _learning(self, day: int) -> bool:
        if self._started is None:
            return True
        return self._learn > 0 and (not self._started or day - self._started < self._learn)

    def _has_room(self, notes: int = 1) -> bool:
        """Whether so many notes may wait; they are counted, or dropped. With the lock held."""
        if self._new.count + self._taken.count + notes > self._room:
            DROPPED.inc(notes)
            return False
        self._new.count += notes
        return True

    def _waiting(self) -> tuple[_Notes, _Notes, _Notes]:
        return self._new, self._taken, self._written

    def _count(self, tally: _Tally) -> int:
        with self._lock:
            return self._tallies.get(tally, 0) + sum(each.tallies.get(tally, 0) for each in self._waiting())

    def _pair_of(self, ours: str, theirs: str) -> bytes:
        return self._digest(f"{normalise(ours)}\0{normalise(theirs)}")

    def _content(self, mailbox: str, content: Iterable[str]) -> bytes:
        return self._digest("\0".join(content)[:CONTENT], of=self._one(mailbox))

    def _one_of(self, address: str) -> bytes:
        return self._digest(normalise(address))

    def _digests(self, addresses: Iterable[str]) -> set[bytes]:
        return {self._one(each) for each in addresses}

    def _digest(self, text: str, *, of: bytes = b"") -> bytes:
        return blake2b(of + text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=self._key).digest()
