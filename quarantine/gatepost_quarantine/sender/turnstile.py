"""Owns how many requests one address may make: enough for a school behind one address, too few to guess with."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_ADDRESSES = 10_000
"""Addresses that are remembered; the one that was seen longest ago is forgotten first."""


class Turnstile:
    """A bucket for each address: it starts with ``burst`` and gains ``rate`` a second."""

    def __init__(self, *, burst: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def lets(self, address: str, *, cost: float = 1) -> bool:
        """Whether this request may go on; what it costs is then taken."""
        with self._lock:
            left = self._level(address)
            may = left >= cost
            self._keep(address, left - cost if may else left)
            return may

    def charge(self, address: str, *, cost: float) -> None:
        """Take what a request turned out to cost, even if that is more than there is."""
        with self._lock:
            self._keep(address, self._level(address) - cost)

    def _level(self, address: str) -> float:
        left, since = self._left.get(address, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - since) * self._rate)

    def _keep(self, address: str, left: float) -> None:
        self._left[address] = (left, self._clock())
        self._left.move_to_end(address)
        if len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
