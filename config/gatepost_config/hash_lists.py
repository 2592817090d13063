"""Owns lists of SHA-256 sums: files that are known, each on a line of its own. A list may have millions."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

from gatepost_config.errors import ConfigError, Problem

_LINE = re.compile(rb"([0-9A-Fa-f]{64})(?:[\s,;*].*)?\Z")
_OTHER = re.compile(rb"[0-9A-Fa-f]{32}(?:[0-9A-Fa-f]{8})?(?:[\s,;*].*)?\Z")
_TOLD = 20
_SIZE = 32


class HashList:
    """SHA-256 sums, 32 bytes each in one piece of memory that workers share, found by halving."""

    __slots__ = ("_sums",)

    def __init__(self, sums: Iterable[bytes] = ()) -> None:
        self._sums = b"".join(sorted(set(sums)))

    def __len__(self) -> int:
        return len(self._sums) // _SIZE

    def __contains__(self, sha256: object) -> bool:
        """Whether this sum, in hexadecimal, is in the list."""
        if not isinstance(sha256, str) or len(sha256) != 2 * _SIZE:
            return False
        wanted = bytes.fromhex(sha256)
        place = bisect_left(range(len(self)), wanted, key=self._sum)
        return place < len(self) and self._sum(place) == wanted

    def _sum(self, place: int) -> bytes:
        return self._sums[place * _SIZE : (place + 1) * _SIZE]


def load(files: Iterable[Path]) -> HashList:
    """All sums of these files as one list. Raises ConfigError with file and line.

    A line holds a sum, and after a space, comma or semicolon anything; empty lines and lines that begin with #
    are left out. A file without a single sum is an error: a list that came empty protects nobody.
    """
    sums: list[bytes] = []
    problems: list[Problem] = []
    for path in files:
        before = len(sums)
        try:
            with path.open("rb") as file:
                for found in _read(file, path):
                    if isinstance(found, Problem):
                        problems.append(found)
                    else:
                        sums.append(found)
        except OSError as error:
            problems.append(Problem(path, 0, 0, f"the list of hashes cannot be read: {error.strerror}"))
            continue
        if len(sums) == before and not problems:
            problems.append(
                Problem(path, 0, 0, "there is no SHA-256 in this list", "Leave the file out, or fill it.")
            )
    if problems:
        raise ConfigError(*problems[:_TOLD])
    return HashList(sums)


def _read(lines: Iterable[bytes], path: Path) -> Iterator[bytes | Problem]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text or text.startswith(b"#"):
            continue
        match = _LINE.match(text)
        if match is not None:
            yield bytes.fromhex(match[1].decode("ascii"))
        elif _OTHER.match(text):
            remedy = "Ask for the list as SHA-256: the older sums can be forged."
            yield Problem(path, number, 1, "this is an MD5 or SHA-1 sum", remedy)
        else:
            remedy = "A line is 64 hexadecimal digits, and after a space anything; comments begin with #."
            yield Problem(path, number, 1, "this is no SHA-256 sum", remedy)
