"""Owns the places of a document: which line and column each of its values stands at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gatepost_config.errors import Problem

Steps = tuple[str | int, ...]
"""The keys and indices that lead to a value: ``("rules", 3, "say")``."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value starts, and where its key does; all count from 1, a value without a key has 0 there."""

    line: int
    column: int
    key_line: int = 0
    key_column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document as it was read. ``digest`` is the SHA-256 of its bytes (hexadecimal).

    A document that builds on another has parts of both: ``taken`` says of a value, and of all that is in it, from
    which file it was taken and where it stands there. Its ``digest`` is that of both files.
    """

    path: Path
    digest: str
    text: str = ""
    places: Mapping[Steps, Place] = field(default_factory=dict)
    taken: Mapping[Steps, tuple[Source, Steps]] = field(default_factory=dict)

    def origin(self, path: Sequence[str | int]) -> tuple[Source, Steps]:
        """The file in which the value at ``path`` is written, and the value's path there."""
        steps = tuple(path)
        for length in range(len(steps) if self.taken else -1, -1, -1):
            if steps[:length] in self.taken:
                source, there = self.taken[steps[:length]]
                return source.origin((*there, *steps[length:]))
        return self, steps

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether there is a value at ``path``."""
        source, steps = self.origin(path)
        return steps in source.places

    def place(self, path: Sequence[str | int]) -> Place:
        """Where the value at ``path`` starts in its file, or the nearest value around it that is written down."""
        source, steps = self.origin(path)
        while steps:
            if steps in source.places:
                return source.places[steps]
            steps = steps[:-1]
        return source.places.get((), Place(1, 1))

    def key_place(self, path: Sequence[str | int]) -> Place:
        """Where the key of the value at ``path`` stands in its file; for a list's item, the item."""
        place = self.place(path)
        return Place(place.key_line, place.key_column) if place.key_line else place

    def where(self, path: Sequence[str | int]) -> str:
        """The file and line of the value at ``path``: policy.yaml:12."""
        return f"{self.origin(path)[0].path}:{self.place(path).line}"

    def problem(
        self, path: Sequence[str | int], message: str, remedy: str = "", *, at: Place | None = None
    ) -> Problem:
        """A fault of the value at ``path``, in its file; ``at`` is a place in that file other than its start."""
        place = at or self.place(path)
        return Problem(self.origin(path)[0].path, place.line, place.column, message, remedy)

    def place_inside(self, path: Sequence[str | int], line: int, column: int) -> Place:
        """The place of line and column (from 1) *of the text* at ``path``, as they stand in the file.

        Exact for plain, quoted and literal (``|``) texts; in a folded one (``>``) and in a plain or quoted
        text of several lines, YAML has joined the lines, and the place is the start of the text.
        """
        start = self.place(path)
        lines = self.origin(path)[0].text.split("\n")
        if start.line > len(lines):
            return start
        first = lines[start.line - 1][start.column - 1 :]
        if first.startswith("|"):
            return _inside_literal(lines, start, line, column)
        if first.startswith(">") or line > 1:
            return start
        quote = 1 if first[:1] in "'\"" else 0
        return Place(start.line, start.column + quote + column - 1)


def _inside_literal(lines: Sequence[str], start: Place, line: int, column: int) -> Place:
    """A literal text starts on the line after its mark, each line indented as the first one that is not empty."""
    body = lines[start.line :]
    first = next((text for text in body if text.strip()), "")
    indent = len(first) - len(first.lstrip(" "))
    return Place(start.line + line, indent + column)
