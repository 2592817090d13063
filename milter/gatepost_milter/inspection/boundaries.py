"""Owns boundaries: one pass over the message finds every line that could be one; splitting works on that list.

A 12 MB base64 body holds no hyphen, so most of a large message is passed over at the speed of memchr.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from gatepost_milter.inspection.headers import Buffer

MAX_LINES = 100_000  # candidate lines of one message
MAX_GUESSES = 8  # undeclared boundaries that are tried in one place
_NEAR = 4096  # bytes behind a hyphen that are looked through before the next hyphen is sought
_WINDOW = 128 * 1024  # the same, where no line ends nearby
_CANDIDATE = re.compile(rb"--([^\r\n]{0,1000})[^\r\n]*(?:\r\n|\n|\r)?")
_INDENT = re.compile(rb"(?:\A|[\r\n])[ \t]+\Z")
_MOST_INDENT = 40  # spaces and tabs before a boundary that some readers overlook
_INDENTED = (
    b"\n"  # stands before the text of an indented line: no declared boundary holds it, so only `loose` finds it
)
_PART_HEADER = re.compile(rb"content-[a-z-]{2,40}[ \t]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Split:
    """A multipart taken apart: (start, end) of each part, of what precedes the first and follows the last one."""

    parts: tuple[tuple[int, int], ...]
    preamble: tuple[int, int]
    epilogue: tuple[int, int]
    closed: bool
    after_close: bool


def _whole_lines(window: bytes) -> int:
    """Where the last line that is whole in ``window`` ends; 0 if none is."""
    return window.rfind(b"\n") + 1 or window.rfind(b"\r", 0, -1) + 1


class Lines:
    """Every line of a message that begins with two hyphens, in order."""

    __slots__ = ("_by_text", "_data", "_folded", "ends", "full", "starts", "texts")

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.texts: list[bytes] = []
        self.full = False
        self._find()
        self._folded: list[bytes] = []
        self._by_text: dict[bytes, list[int]] = {}
        for index, text in enumerate(self.texts):
            self._by_text.setdefault(text, []).append(index)

    def _find(self) -> None:
        data, size, offset = self._data, len(self._data), 0
        while (offset := data.find(b"-", offset)) >= 0:  # what has no hyphen is passed over, and not even copied
            window = data[offset : offset + _NEAR]
            if offset + len(window) < size:  # no line is cut, whichever way lines end
                whole = _whole_lines(window)
                if not whole:
                    window = data[offset : offset + _WINDOW]
                    whole = _whole_lines(window) if offset + len(window) < size else len(window)
                window = window[: whole or len(window)]
            for match in _CANDIDATE.finditer(window):
                at = match.start()
                before = window[at - 1 : at] if at else data[max(offset - 1, 0) : offset]
                if before in (b"", b"\n", b"\r"):
                    self.starts.append(offset + at)
                    self.ends.append(offset + match.end())
                    self.texts.append(match[1].rstrip(b" \t"))
                elif before in (b" ", b"\t") and _INDENT.search(
                    data[max(offset + at - _MOST_INDENT, 0) : offset + at]
                ):
                    self.starts.append(offset + at)
                    self.ends.append(offset + match.end())
                    self.texts.append(_INDENTED + match[1].rstrip(b" \t"))
            if len(self.starts) > MAX_LINES:
                self.full = True
                del self.starts[MAX_LINES:], self.ends[MAX_LINES:], self.texts[MAX_LINES:]
                return
            offset += len(window)

    def exact(self, start: int, end: int, boundary: bytes) -> list[int]:
        """Indices of the lines between ``start`` and ``end`` that are the boundary, or its closing form."""
        found: list[int] = []
        for text in (boundary, boundary + b"--"):
            indices = self._by_text.get(text, ())
            low = bisect_left(indices, bisect_left(self.starts, start))
            high = bisect_left(indices, bisect_left(self.starts, end))
            found += indices[low:high]
        found.sort()
        return found

    def loose(self, start: int, end: int, boundary: bytes) -> list[int]:
        """Indices of the lines that begin with the boundary, blind to case and spaces as lenient clients are."""
        wanted = boundary.strip().lower()[:70]
        low, high = bisect_left(self.starts, start), bisect_left(self.starts, end)
        if not wanted:
            return []
        if not self._folded:
            self._folded = [text.lstrip().lower() for text in self.texts]
        folded = self._folded
        return [index for index in range(low, high) if folded[index].startswith(wanted)]

    def guess(self, start: int, end: int) -> list[bytes]:
        """The texts of lines that are followed by a part's header: boundaries that nobody declared.

        One more than ``MAX_GUESSES`` are given when there are more.
        """
        low, high = bisect_left(self.starts, start), bisect_left(self.starts, end)
        found: dict[bytes, None] = {}
        for index in range(low, high):
            text = self.texts[index]
            if (
                text not in found
                and not text.startswith(_INDENTED)
                and _PART_HEADER.match(self._data, self.ends[index], end)
            ):
                found[text] = None
                if len(found) > MAX_GUESSES:
                    break
        return list(found)

    def split(
        self, start: int, end: int, boundary: bytes, indices: list[int], *, past_close: bool = False
    ) -> Split:
        """Take start…end apart at the given lines; ``past_close`` takes a closing boundary for an ordinary one."""
        closing = boundary + b"--"
        parts: list[tuple[int, int]] = []
        opened: int | None = None
        preamble_end = self._before(self.starts[indices[0]], start)
        epilogue = end
        closed = after_close = False
        for index in indices:
            if opened is not None:
                parts.append((opened, self._before(self.starts[index], opened)))
                opened = None
            if self.texts[index] == closing and not past_close:
                closed = True
                epilogue = self.ends[index]
                after_close = index != indices[-1]
                break
            opened = self.ends[index]
        if opened is not None and (opened < end or not past_close):
            parts.append((opened, end))
        return Split(tuple(parts), (start, preamble_end), (epilogue, end), closed, after_close)

    def _before(self, offset: int, floor: int) -> int:
        """The end of the content before a boundary line: the break belongs to the boundary (RFC 2046 5.1.1)."""
        tail = self._data[max(offset - 2, floor) : offset]
        if tail == b"\r\n":
            return offset - 2
        return offset - 1 if tail[-1:] in (b"\n", b"\r") else offset
