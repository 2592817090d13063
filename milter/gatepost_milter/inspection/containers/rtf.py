"""Owns the words of RTF documents (RTF 1.9.1), by one pass over control words and groups."""

from __future__ import annotations

import re

from gatepost_milter.inspection.containers.extent import Extent
from gatepost_milter.inspection.words import charset_codec

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]++|([^\\{}\r\n]++)"
)
_NOT_SHOWN = frozenset({
    b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"objdata", b"themedata", b"colorschememapping",
    b"datastore", b"latentstyles", b"listtable", b"listoverridetable", b"rsidtbl", b"generator", b"xmlnstbl",
    b"filetbl", b"revtbl", b"blipuid", b"bkmkstart", b"bkmkend", b"xe", b"tc",
})  # fmt: skip
_LINES = {b"par": "\n", b"line": "\n", b"row": "\n", b"sect": "\n", b"page": "\n", b"cell": "\t", b"tab": "\t",
          b"nestcell": "\t", b"nestrow": "\n", b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’",
          b"ldblquote": "“", b"rdblquote": "”", b"bullet": "•"}  # fmt: skip
_SYMBOLS = {b"~": "\N{NO-BREAK SPACE}", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n"}
_DEPTH = 1000


def read(data: bytes, extent: Extent) -> str:
    """What a person reads in the document; field codes and hidden words are read as well."""
    state = _State()
    for count, token in enumerate(_TOKEN.finditer(data)):
        if not count % 4096 and extent.over():
            break
        if len(state.groups) > _DEPTH:
            extent.cut = True
            break
        state.take(token)
    return "".join(state.out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _State:
    """Where the pass stands. ``skip`` counts the characters that stand in for a Unicode one and are left out."""

    __slots__ = ("codec", "groups", "hidden", "out", "skip", "width")

    def __init__(self) -> None:
        self.out: list[str] = []
        self.codec = "cp1252"
        self.hidden = False
        self.skip = 0
        self.width = 1
        self.groups: list[tuple[bool, int]] = []

    def take(self, token: re.Match[bytes]) -> None:
        """One control word, symbol, brace or run of characters."""
        word, number, code, symbol, brace, plain = token.groups()
        if word:
            self._word(word, int(number or 0), numbered=bool(number))
        elif plain:
            self._show(plain[self.skip :].decode(self.codec, "replace"))
            self.skip = max(0, self.skip - len(plain))
        elif code and self.skip:
            self.skip -= 1
        elif code:
            self._show(bytes([int(code, 16)]).decode(self.codec, "replace"))
        elif brace == b"{":
            self.groups.append((self.hidden, self.width))
        elif brace == b"}":
            self.hidden, self.width = self.groups.pop() if self.groups else (False, 1)
        elif symbol == b"*":
            self.hidden = True
        elif symbol:
            self._show(_SYMBOLS.get(symbol, ""))

    def _word(self, word: bytes, number: int, *, numbered: bool) -> None:
        if word in _NOT_SHOWN:
            self.hidden = True
        elif word == b"ansicpg":
            self.codec = charset_codec(f"cp{number}") or self.codec
        elif word == b"uc":
            self.width = min(max(number, 0), 8)
        elif word == b"u" and numbered:
            self._show(chr(number % 0x10000))
            self.skip = self.width
        elif word in _LINES:
            self._show(_LINES[word])

    def _show(self, words: str) -> None:
        if words and not self.hidden:
            self.out.append(words)
