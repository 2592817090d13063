"""Owns what detectors read: a text in plain letters, and families of patterns that are looked for in one pass.

Everything here takes time in proportion to the text, whatever the text is: patterns run on RE2, and letters are
made plain one by one (Unicode normalisation of a whole text is quadratic on hostile combining marks).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import re2

_LOOK_ALIKE = re.compile(r"[A-Za-z\u0370-\u03ff\u0400-\u052f]+")
# The octets that begin Greek and Cyrillic letters in UTF-8, U+0340 to U+053F.
_GREEK_OR_CYRILLIC = tuple(bytes([octet]) for octet in range(0xCD, 0xD5))
_LATIN = re.compile(r"[A-Za-z]")

_REMEMBERED = 20_000  # letters whose plain form is remembered; hostile text may use every letter there is

# Typographic forms that people do not tell apart when they write and read.
_SAME = {
    **dict.fromkeys("‘’‚‛′ʼ`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    "ß": "ss",
    "ø": "o",
    "Ø": "O",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "ı": "i",
}

# Greek and Cyrillic letters that look like Latin ones (a light choice from Unicode TS 39), used only inside
# words that mix scripts: a word in honest Greek or Russian stays as it is.
_TWINS = str.maketrans(
    "аеорсухіјѕԁһѵԛԝАВЕКМНОРСТУХІЈЅαοενρτυχικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhvqwABEKMHOPCTYXIJSaoevptuxikABEZHIKMNOPTYX",
)

# RE2 says "nothing found" when it has no memory left. A set that does not see this mark has not read the text.
_MARK = b"\n\x01gatepost\x02\n"
_MARK_PATTERN = rb"\x01gatepost\x02"
_MEMORY = 64 * 1024 * 1024  # bytes that one set may use; it takes a fraction of it unless the text is hostile


class DetectionError(Exception):
    """A text could not be searched: RE2 ran out of memory. The message must be temp-failed, not passed."""


class _Plain(dict[int, str]):
    """The plain form of each letter, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        plain = _SAME.get(letter)
        if plain is None:
            plain = "".join(_plain_letter(each) for each in unicodedata.normalize("NFKD", letter)[:4])
        if len(self) < _REMEMBERED:
            self[code] = plain
        return plain


def _plain_letter(letter: str) -> str:
    """Without accents (Mn) and invisible characters (Cf); half a surrogate pair is ``?``."""
    if letter.isascii():
        return letter
    category = unicodedata.category(letter)
    if category in ("Mn", "Cf", "Me"):
        return ""
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Zs":
        return " "
    if category == "Cs":
        return "?"
    return _SAME.get(letter, letter)


_PLAIN = _Plain()


def _make_plain(error: UnicodeError) -> tuple[bytes, int]:
    """What the codec below writes for a run of letters that are not ASCII."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - it is only ever used to encode
    run: str = error.object[error.start : error.end]
    return run.translate(_PLAIN).encode("utf-8", "replace"), error.end


# The encoder finds the letters to change ten times as fast as a pattern does.
codecs.register_error("gatepost-plain", _make_plain)


def _plain_octets(text: str) -> bytes:
    raw = text.encode("ascii", "gatepost-plain")
    if not raw.isascii() and any(map(raw.__contains__, _GREEK_OR_CYRILLIC)):
        raw = _LOOK_ALIKE.sub(_unmask, raw.decode("utf-8")).encode("utf-8")
    return raw


def plain(text: str) -> str:
    """The text in plain letters: no accents, no invisible characters, one kind of quote, dash and space, styled
    letters as ordinary ones, and letters of other scripts that pose as Latin ones undone.

    Case and line breaks stay. Text in ASCII comes back as it is.
    """
    return text if text.isascii() else _plain_octets(text).decode("utf-8")


def _unmask(word: re.Match[str]) -> str:
    return word[0].translate(_TWINS) if _LATIN.search(word[0]) and not word[0].isascii() else word[0]


class Page:
    """One text to be searched. ``where`` names its part or file as a person finds it.

    ``rows`` says that the text is a table (csv, a sheet written out): one record a line.
    """

    __slots__ = ("_lowered", "_plain", "_raw", "_source", "rows", "where")

    def __init__(self, text: str, *, where: str = "", rows: bool = False) -> None:
        self.where = where
        self.rows = rows
        self._source = text
        self._plain: str | None = None
        self._raw: bytes | None = None
        self._lowered: bytes | None = None

    @property
    def source(self) -> str:
        """The text as it came."""
        return self._source

    @property
    def plain(self) -> str:
        """The text in plain letters."""
        if self._plain is None:
            self._plain = self._source if self._source.isascii() else self.raw.decode("utf-8")
        return self._plain

    @property
    def raw(self) -> bytes:
        """The plain text as UTF-8, which is what patterns run on; offsets count its octets."""
        if self._raw is None:
            self._raw = _plain_octets(self._source)
        return self._raw

    @property
    def lowered(self) -> bytes:
        """``raw`` with ASCII letters in lower case; the same offsets."""
        if self._lowered is None:
            self._lowered = self.raw.lower()
        return self._lowered

    def line(self, offset: int) -> int:
        """The line, from 1, that holds the octet at ``offset``."""
        return self.raw.count(b"\n", 0, offset) + 1

    def around(self, start: int, end: int, reach: int) -> bytes:
        """What stands up to ``reach`` octets before ``start`` and behind ``end``, in lower case."""
        return self.lowered[max(0, start - reach) : end + reach]


def pattern(source: str | bytes) -> Any:
    """An RE2 pattern over octets of UTF-8. Raises ``re2.error`` if it is not one."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(source.encode("utf-8") if isinstance(source, str) else source, options)


class Sieve:
    """A family of named patterns, all looked for in one pass over a text."""

    __slots__ = ("_mark", "_names", "_patterns", "_set")

    def __init__(self, patterns: Mapping[str, str]) -> None:
        """Raises ``re2.error`` for a pattern that RE2 does not take."""
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MEMORY
        self._set = re2.Set.SearchSet(options)
        self._names = list(patterns)
        self._patterns = {name: pattern(source) for name, source in patterns.items()}
        for source in patterns.values():
            self._set.Add(source.encode("utf-8"))
        self._mark = len(self._names)
        self._set.Add(_MARK_PATTERN)
        self._set.Compile()
        self.which(b"")  # a set that is too large for its memory shows it here, and not on the first mail

    def which(self, raw: bytes) -> list[str]:
        """The names of the patterns that occur, in the order they were given.

        Raises DetectionError if the text could not be searched.
        """
        found = self._set.Match(raw + _MARK)
        if found is None or self._mark not in found:
            raise DetectionError("a set of patterns ran out of memory")
        if len(found) == 1:
            return []
        return [self._names[index] for index in sorted(found) if index != self._mark]

    def each(self, name: str, raw: bytes) -> Iterator[Any]:
        """Every match of one of the patterns, from left to right, not overlapping."""
        matches: Iterator[Any] = self._patterns[name].finditer(raw)
        return matches

    def first(self, name: str, raw: bytes) -> Any:
        """The first match of one of the patterns, or None."""
        return self._patterns[name].search(raw)
