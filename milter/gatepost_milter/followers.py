"""Owns the threads by which a worker follows the store: the rulings that stand, and the past.

No message ever waits for them. A store that cannot be reached leaves what was known last in force, shows as a
metric and in the log, and is asked again; what was noted about the past waits meanwhile, as long as there is room.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from threading import Event, Thread

import structlog

from gatepost_milter.metrics import EACH, Counter, Gauge
from gatepost_milter.policy.history import History
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_quarantine.history import Histories
from gatepost_quarantine.rulings import Rulings
from gatepost_quarantine.store import StoreError

EVERY = 1.0
"""Seconds between two looks: a ruling reaches every worker within two seconds, and a crash loses little."""

FIRST = 5.0
"""Seconds that a new worker gives the store for the first look, before it takes mail with what it has."""

RULINGS, HISTORY = "rulings", "history"

FOLLOW_FAILURES = Counter(
    "gatepost_follow_failures", "Looks into the store that failed; what was known stays in force.", ["what"]
)
FOLLOWED = Gauge(
    "gatepost_followed",
    "Workers whose last look into the store succeeded, by what they look for.",
    ["what"],
    multiprocess_mode=EACH,
)
for _what in (RULINGS, HISTORY):
    FOLLOW_FAILURES.labels(what=_what)

_log = structlog.get_logger("gatepost.followers")


class Follower:
    """A thread that does one thing again and again, until it is ended. ``look`` may raise StoreError."""

    def __init__(self, what: str, look: Callable[[], None], *, every: float = EVERY) -> None:
        self._what = what
        self._look = look
        self._every = every
        self._over = Event()
        self._first = Event()
        self._fine: bool | None = None
        self._thread = Thread(target=self._run, name=f"follow-{what}", daemon=True)

    def start(self, *, patience: float = FIRST) -> None:
        """Begin, and wait until the first look is over, at most ``patience`` seconds."""
        self._thread.start()
        self._first.wait(patience)

    def end(self, *, patience: float = FIRST) -> None:
        """Have a last look, and end."""
        self._over.set()
        self._thread.join(patience)

    def _run(self) -> None:
        over = False
        try:
            while not over:
                over = self._over.is_set()  # asked before the look: what comes until then is in the last one
                self._try()
                self._first.set()
                self._over.wait(self._every)
        finally:
            if not over:  # a defect ends the thread and not the worker: let it show
                FOLLOWED.labels(what=self._what).set(0)
            self._first.set()

    def _try(self) -> None:
        try:
            self._look()
        except StoreError as error:
            FOLLOW_FAILURES.labels(what=self._what).inc()
            self._say(fine=False, reason=str(error))
        else:
            self._say(fine=True)

    def _say(self, *, fine: bool, reason: str = "") -> None:
        """Tell each change once: a store that is away for an hour is one line, not thousands."""
        FOLLOWED.labels(what=self._what).set(int(fine))
        if not fine and self._fine is not False:
            _log.error("store not followed", what=self._what, reason=reason, in_force="what was known last")
        elif fine and self._fine is False:
            _log.info("store followed again", what=self._what)
        self._fine = fine


class RulingsFollower:
    """Puts the rulings that stand into ``memory`` whenever their revision has changed."""

    def __init__(self, store: Rulings, memory: Memory, *, zone: tzinfo) -> None:
        self._store = store
        self._memory = memory
        self._zone = zone
        self._seen = -1

    def look(self) -> None:
        """Ask for the revision, and read the rulings if it is new. Raises StoreError."""
        # The number first: a ruling that is made meanwhile is read twice, and never missed.
        revision = self._store.ruling_revision()
        if revision == self._seen:
            return
        rulings = self._store.rulings()
        self._memory.standing = Standing.of(rulings, self._zone)
        self._seen = revision
        _log.info("rulings in force", revision=revision, count=len(rulings))


class HistoryFollower:
    """Writes what was noted, and reads along what others have."""

    def __init__(self, store: Histories, history: History, *, today: Callable[[], datetime]) -> None:
        self._store = store
        self._history = history
        self._today = today

    def look(self) -> None:
        """One round. Raises StoreError; what could not be written is tried again in the next."""
        batch = self._history.take()
        if batch:
            self._store.remember(batch)
            self._history.kept()
        day = self._today().date().toordinal()
        self._history.recalled(self._store.recall(self._history.seq, day=day), day=day)
