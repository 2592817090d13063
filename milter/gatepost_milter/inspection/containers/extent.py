"""Owns how far reading of words goes: characters, unpacked bytes and time, and whether anything was left out."""

from __future__ import annotations

import time
from collections.abc import Iterable


class Extent:
    """The bounds of reading one file. ``until`` is a monotonic time; ``cut`` says that a bound was reached."""

    __slots__ = ("_left", "_octets", "_until", "cut")

    def __init__(self, *, characters: int, octets: int, until: float) -> None:
        self._left = characters
        self._octets = octets
        self._until = until
        self.cut = False

    @property
    def left(self) -> int:
        """Characters that may still be kept."""
        return self._left

    def keep(self, words: str) -> str:
        """``words``, or as many of them as may still be kept."""
        if len(words) > self._left:
            words = words[: self._left]
            self.cut = True
        self._left -= len(words)
        return words

    def over(self) -> bool:
        """Whether to stop: no character more may be kept, or the time is up."""
        if not self._left or time.monotonic() > self._until:
            self.cut = True
            return True
        return False

    def gather(self, pieces: Iterable[bytes]) -> bytes:
        """All ``pieces`` as far as the bound of unpacked bytes goes."""
        gathered = bytearray()
        for piece in pieces:
            gathered += piece
            if len(gathered) > self._octets or self.over():
                self.cut = True
                del gathered[self._octets :]
                break
        self._octets -= len(gathered)
        return bytes(gathered)
