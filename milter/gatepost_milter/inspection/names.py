"""Owns file names: every name that a mail client or Windows could make of the one a message gives.

The differences are what attackers use to show one extension and run another: bidirectional overrides, invisible
and full-width characters, trailing dots, stream names, class identifiers, encoded words, percent escapes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from gatepost_milter.inspection.words import decode_bytes, decode_words

MAX_NAME = 1024  # characters of a name that are looked at, from each end
MAX_NAMES = 48  # names that are kept of one raw name

_PLAIN = re.compile(r"(?![ .])(?:[A-Za-z0-9()+_!&@\-]|[ .](?![ .]|\Z))+\Z", re.ASCII)
_CLASS_ID = re.compile(r"\.?\{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}\s*\Z")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ENTITY = re.compile(r"&#(x[0-9A-Fa-f]{1,6}|[0-9]{1,7});")
_STREAM = re.compile(r":([^:/\\]*)(?::\$[A-Za-z_]+)?\Z")
_FOLDING = re.compile(r"[\r\n]+[ \t]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OVERRIDE = re.compile("[\u202e\u2067\u202b]([^\u202c\u2069]*)[\u202c\u2069]?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WINDOWS_LENGTH = 255  # characters that NTFS keeps of one name


def _invisible() -> str:
    kinds = ("Cf", "Cc", "Co", "Cs")
    marks = [chr(code) for code in range(0x20, 0x10000) if unicodedata.category(chr(code)) in kinds]
    tags = [chr(code) for code in range(0xE0000, 0xE0080)]
    selectors = [chr(code) for code in (*range(0xFE00, 0xFE10), 0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800)]
    return "".join((*marks, *tags, *selectors))


_INVISIBLE = str.maketrans("", "", _invisible())

# Dots and slashes of other scripts that no normalisation form maps, and that a person (and some clients) reads so.
_LOOKALIKES = str.maketrans({
    "\u3002": ".", "\u0701": ".", "\u0702": ".", "\u06d4": ".", "\u2044": "/", "\u2215": "/", "\u29f8": "/",
    "\u2216": "\\", "\u29f5": "\\", "\u2236": ":", "\ua789": ":",
})  # fmt: skip


@lru_cache(maxsize=2048)
def normalise(raw: str) -> tuple[str, ...]:
    """All names that a client or Windows could make of ``raw``, the one to show first; empty for an empty name.

    Each is free of control and invisible characters, folders, and trailing dots and spaces. Case is kept.
    """
    if _PLAIN.match(raw) and len(raw) <= _WINDOWS_LENGTH:
        return (raw,)
    if len(raw) > 2 * MAX_NAME:
        raw = raw[:MAX_NAME] + raw[-MAX_NAME:]
    raw = _SURROGATE.sub("\ufffd", raw)
    seen = {raw: None}
    queue = [raw]
    for name in queue:  # grows while it is read; bounded by MAX_NAMES
        for step in _STEPS:
            for made in step(name):
                if made not in seen and len(seen) < 2 * MAX_NAMES:
                    seen[made] = None
                    queue.append(made)
    ends = dict.fromkeys(tidied for name in seen if (tidied := _tidy(name)))
    shown = _tidy(decode_words(raw))
    order = sorted(ends, key=lambda name: name != shown)
    return tuple(order[:MAX_NAMES])


def _tidy(name: str) -> str:
    """The name as a file system would keep it: last step of every reading."""
    name = _FOLDING.sub(" ", name).translate(_INVISIBLE)
    name = _CONTROL.sub("", name).replace("\\", "/").rpartition("/")[2]
    return name.strip().strip("\"'<>").rstrip(". \u00a0\u3000;,|?*\"'<>").lstrip()


def _words(name: str) -> tuple[str, ...]:
    return (decode_words(name),) if "=?" in name else ()


def _percent(name: str) -> tuple[str, ...]:
    """Percent escapes, and the charset''value of RFC 2231 where a client forgot to take it apart."""
    charset, quotes, rest = name.partition("''")
    pieces = [name, rest] if quotes and len(charset) < 40 else [name]
    return tuple(decode_bytes(unquote_to_bytes(each)) if _PERCENT.search(each) else each for each in pieces)


def _entities(name: str) -> tuple[str, ...]:
    def character(match: re.Match[str]) -> str:
        digits = match[1]
        code = int(digits[1:], 16) if digits[0] == "x" else int(digits)
        return chr(code) if code < 0xD800 or 0xE000 <= code < 0x110000 else ""

    return (_ENTITY.sub(character, name),) if "&#" in name else ()


def _nul(name: str) -> tuple[str, ...]:
    cut, nul, _ = name.partition("\0")
    return (cut, name.replace("\0", "")) if nul else ()


def _lines(name: str) -> tuple[str, ...]:
    """Folded names: clients join the lines with a space or with nothing, or stop at the first one."""
    if "\n" not in name and "\r" not in name and "\t" not in name:
        return ()
    joined = _FOLDING.sub("", name)
    return (joined, joined.replace("\t", ""), _FOLDING.split(name, maxsplit=1)[0])


def _bidi(name: str) -> tuple[str, ...]:
    """The order a person sees: text after a right-to-left override runs backwards."""
    if not _OVERRIDE.search(name):
        return ()
    return (_OVERRIDE.sub(lambda match: match[1][::-1], name),)


def _compatible(name: str) -> tuple[str, ...]:
    if name.isascii():
        return ()
    return (unicodedata.normalize("NFKC", name).translate(_LOOKALIKES),)


def _stream(name: str) -> tuple[str, ...]:
    """NTFS: "setup.exe::$DATA" is setup.exe, and "notes.txt:setup.exe" is a stream of notes.txt."""
    match = _STREAM.search(name)
    return (name[: match.start()], match[1]) if match else ()


def _class_id(name: str) -> tuple[str, ...]:
    match = _CLASS_ID.search(name)
    return (name[: match.start()],) if match else ()


def _folders(name: str) -> tuple[str, ...]:
    """A backslash is a folder to Windows and a character elsewhere."""
    return (name.replace("\\", ""),) if "\\" in name else ()


def _cut(name: str) -> tuple[str, ...]:
    """A name longer than the file system keeps loses its end, and with it the extension that was shown."""
    return (name[:_WINDOWS_LENGTH],) if len(name) > _WINDOWS_LENGTH else ()


_STEPS: tuple[Callable[[str], tuple[str, ...]], ...] = (
    _words,
    _percent,
    _entities,
    _nul,
    _lines,
    _bidi,
    _compatible,
    _stream,
    _class_id,
    _folders,
    _cut,
)
