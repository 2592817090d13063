"""Owns TNEF (MS-OXTNEF): the winmail.dat in which Outlook wraps attachments."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gatepost_milter.inspection.containers.walk import Family, File, UnreadableError, Walk
from gatepost_milter.inspection.detect import Buffer

_MARK = b"\x78\x9f\x3e\x22"
_RENDERING, _TITLE, _DATA, _PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME, _OBJECT = 0x3707, 0x3704, 0x3001, 0x3701
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_STRINGS = {0x1E: "cp1252", 0x1F: "utf-16-le"}
_MULTIPLE, _OBJECT_KIND, _BINARY_KIND = 0x1000, 0x0D, 0x0102


def knows(file: File) -> bool:
    """The TNEF signature, whatever the name."""
    return bytes(file.data[:4]) == _MARK


def open_(walk: Walk, file: File) -> None:
    """Hand over every attachment, and messages that are attached as objects."""
    names: list[str] = []
    contents: list[bytes] = []
    for kind, start, end in _attributes(file.data):
        walk.budget.check()
        if kind == _RENDERING:
            _finish(walk, file, names, contents)
            names, contents = [], []
        elif kind == _TITLE:
            names.append(bytes(file.data[start:end]).rstrip(b"\0").decode("cp1252", "replace"))
        elif kind == _DATA:
            contents.append(bytes(file.data[start:end]))
        elif kind == _PROPERTIES:
            for tag, value in _properties(bytes(file.data[start:end])):
                if isinstance(value, str):
                    if tag in (_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME):
                        names.insert(0 if tag == _LONG_NAME else len(names), value)
                elif tag == _OBJECT:
                    contents.append(value)
    _finish(walk, file, names, contents)


def _finish(walk: Walk, file: File, names: list[str], contents: list[bytes]) -> None:
    raw_names = list(dict.fromkeys(name for name in names if name)) or ["attachment"]
    for content in contents:
        walk.unpack(file, [content], raw_names=raw_names)
    if names and not contents:
        walk.member(file, b"", raw_names=raw_names)


def _attributes(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """The stream's attributes as (id, start, end); each is level, id, type, length, data, checksum."""
    position = 6
    while position + 9 <= len(data):
        level, kind, _, size = struct.unpack_from("<BHHI", data, position)
        start = position + 9
        if level not in (1, 2) or start + size > len(data):
            raise UnreadableError("it is damaged or cut short")
        yield kind, start, start + size
        position = start + size + 2


def _properties(data: bytes) -> Iterator[tuple[int, str | bytes]]:
    """MAPI properties that are strings, binaries or objects (MS-OXTNEF 2.1.3.4)."""
    (count,) = struct.unpack_from("<I", data)
    position = 4
    for _ in range(min(count, 10_000)):
        if position + 4 > len(data):
            return
        kind, tag = struct.unpack_from("<HH", data, position)
        position += 4
        if tag >= 0x8000:
            position = _skip_name(data, position)
        many = kind & _MULTIPLE
        kind &= ~_MULTIPLE
        variable = kind in _STRINGS or kind in (_OBJECT_KIND, _BINARY_KIND)
        values = 1
        if many or variable:
            (values,) = struct.unpack_from("<I", data, position)
            position += 4
        if not variable:
            position += _FIXED.get(kind, 4) * values
            continue
        for _ in range(min(values, 10_000)):
            (size,) = struct.unpack_from("<I", data, position)
            value = data[position + 4 : position + 4 + size]
            position += 4 + size + -size % 4
            if kind in _STRINGS:
                yield tag, value.decode(_STRINGS[kind], "replace").rstrip("\0")
            else:
                # An object starts with the identifier of its interface: a message or an OLE storage follows.
                yield tag, value[16:] if kind == _OBJECT_KIND else value


def _skip_name(data: bytes, position: int) -> int:
    kind: int
    size: int
    (kind,) = struct.unpack_from("<I", data, position + 16)
    position += 20
    if kind == 0:
        return position + 4
    (size,) = struct.unpack_from("<I", data, position)
    return position + 4 + size + -size % 4


FAMILY = Family(name="TNEF file", knows=knows, open=open_)
