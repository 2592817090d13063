"""Owns files that are carried in calendars, contact cards and the files of a Mac: small forms without packing.

A calendar (RFC 5545 section 3.8.1.1) and a card (RFC 6350 section 6.2.4) may hold a file in base64 as the value of
a property; AppleSingle (RFC 1740) puts the two halves of a Mac file into one.
"""

from __future__ import annotations

import re
import struct

from gatepost_milter.inspection import encodings
from gatepost_milter.inspection.containers.walk import Family, File, LimitError, Walk

_START = re.compile(rb"\s{0,64}(?:\xef\xbb\xbf)?BEGIN:V(?:CALENDAR|CARD)\b", re.IGNORECASE)
_VALUE = re.compile(
    rb"(?im)^([A-Z][A-Z0-9.-]{0,60}(?:;[^:\r\n]{0,2000})?;ENCODING=[\"']?B(?:ASE64)?\b[^:\r\n]{0,2000}):"
    rb"([A-Za-z0-9+/= \t]{16,}(?:\r?\n[ \t]+[A-Za-z0-9+/=]+)*)"
)
_FOLD = re.compile(rb"\r?\n[ \t]")
_NAME = re.compile(rb"(?i);(?:X-)?(?:APPLE-|ORACLE-)?FILENAME=[\"']?([^;:\"'\r\n]{1,500})")
_MOST = 400

_SINGLE, _DOUBLE = b"\0\x05\x16\0", b"\0\x05\x16\x07"
_DATA_FORK, _REAL_NAME = 1, 3


def knows(file: File) -> bool:
    """A calendar or a card by its first words."""
    return _START.match(bytes(file.data[:128])) is not None


def open_(walk: Walk, file: File) -> None:
    """Hand over every file that is the value of a property."""
    text = _FOLD.sub(b"", bytes(file.data))
    for count, found in enumerate(_VALUE.finditer(text)):
        if count >= _MOST:
            raise LimitError("it holds more files than are opened")
        name = _NAME.search(found[1])
        shown = name[1].decode("utf-8", "replace") if name else "attached file"
        content = encodings.decode(found[2], "base64")[0][1]
        walk.unpack(file, [content], raw_names=[shown], quiet=name is None)


def knows_single(file: File) -> bool:
    """The mark of AppleSingle or AppleDouble."""
    return bytes(file.data[:4]) in (_SINGLE, _DOUBLE)


def open_single(walk: Walk, file: File) -> None:
    """Hand over the data fork under the names of the file and its own; a Double has none in it."""
    (count,) = struct.unpack_from(">H", file.data, 24)
    entries: dict[int, tuple[int, int]] = {}
    for each in range(min(count, 64)):
        kind, start, size = struct.unpack_from(">III", file.data, 26 + 12 * each)
        entries[kind] = (start, size)
    if _DATA_FORK in entries:
        start, size = entries.get(_REAL_NAME, (0, 0))
        own = bytes(file.data[start : start + min(size, 500)]).decode("utf-8", "replace")
        start, size = entries[_DATA_FORK]
        names = [name for name in (*file.names, own) if name] or ["data fork"]
        walk.unpack(file, [bytes(file.data[start : start + size])], raw_names=names)


CARDS = Family(name="calendar or card", knows=knows, open=open_)
APPLE = Family(name="AppleSingle file", knows=knows_single, open=open_single)
