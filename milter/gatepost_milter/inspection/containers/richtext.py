"""Owns RTF and OneNote: documents that hold files as objects, written in hexadecimal or as they are."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from gatepost_milter.inspection import filetypes
from gatepost_milter.inspection.containers import ole
from gatepost_milter.inspection.containers.walk import Family, File, Walk
from gatepost_milter.inspection.model import FileClass

_OBJECT = re.compile(rb"(?i)\\objdata(?![a-z])")
_BIN = re.compile(rb"(?i)\\bin(\d{1,9})[ ]?")
_GROUP = re.compile(rb"\{\\\*[^{}]{0,400}\}")
_CONTROL = re.compile(rb"(?i)\\(?:[a-z]{1,32}-?\d{0,10} ?|'[0-9a-f]{2}|[^a-z])")
_NOT_HEX = re.compile(rb"[^0-9A-Fa-f]")
_LINK = re.compile(rb"(?i)\\objautlink|\\objupdate")
_LINK_CLASS = re.compile(rb"(?i)OLE2Link|htmlfile|StdOleLink|Equation\.")
_TEMPLATE = re.compile(rb"(?i)\{\\\*\\template\s+(?:https?:|ftp:|\\\\\\\\[^}]*@)")
_DDE = re.compile(rb"(?i)\\fldinst[^}]{0,200}?\bDDE(?:AUTO)?\b")
_MOST_OBJECT = 64 * 1024 * 1024

_ONENOTE = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3")
_ONENOTE_OTHERS = (
    bytes.fromhex("a12ff743d9ef764c9ee210ea5722765f"),
    bytes.fromhex("3fdd9a101b91f549a5d01791edc8aed8"),
)
_FILE_DATA = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
_WIDE_NAME = re.compile(rb"(?:[\x20-\x7e\xa0-\xff]\x00){1,120}\.\x00(?:[A-Za-z0-9]\x00){1,10}")


def knows(file: File) -> bool:
    """Word takes anything that starts with these bytes for RTF, blanks before them left out."""
    return bytes(file.data[:64]).lstrip().startswith(b"{\\rt")


def open_(walk: Walk, file: File) -> None:
    """Hand over the objects of a document."""
    text = bytes(file.data)
    if _TEMPLATE.search(text):
        file.mark(FileClass.MACRO, "it loads a template from the web when opened")
    if _DDE.search(text):
        file.mark(FileClass.MACRO, "it starts a program when opened (DDE)")
    for content in _objects(text):
        walk.budget.check()
        if _LINK.search(text) and _LINK_CLASS.search(content[:256]):
            file.mark(FileClass.MACRO, "it loads an object as soon as it is opened")
        kind, payload = _embedded(content)
        at = payload.find(ole.MAGIC)
        if kind.lower().startswith(b"package") and at < 0:
            names, data = ole.package(b"\0\0\0\0" + payload)
            walk.unpack(file, [data], raw_names=names)
        elif at >= 0:
            walk.unpack(file, [payload[at:]], raw_names=["object"], quiet=True)
        elif payload:
            walk.unpack(file, [payload], raw_names=["object"], quiet=True)


def _objects(text: bytes) -> Iterator[bytes]:
    """The bytes of each object; what writers of evil RTF put between the digits is left out, as Word does."""
    for found in _OBJECT.finditer(text):
        end = _group_end(text, found.end())
        body = text[found.end() : end]
        raw = _BIN.search(body)
        tail = b""
        if raw:
            tail = body[raw.end() : raw.end() + int(raw[1])]
            body = body[: raw.start()]
        while (shorter := _GROUP.sub(b"", body)) != body:
            body = shorter
        digits = _NOT_HEX.sub(b"", _CONTROL.sub(b"", body))
        yield bytes.fromhex(digits[: len(digits) & ~1].decode("ascii")) + tail


def _group_end(text: bytes, position: int) -> int:
    """Where the group that ``position`` stands in ends; the end of the text when it is not closed."""
    depth = 1
    for brace in re.finditer(rb"[{}]", text[position : position + _MOST_OBJECT]):
        depth += 1 if brace[0] == b"{" else -1
        if depth == 0:
            return position + brace.start()
    return len(text)


def _embedded(content: bytes) -> tuple[bytes, bytes]:
    """Class name and data of an OLE 1 embedded object (MS-OLEDS 2.2.5); all of it as data when it is none."""
    try:
        version, kind = struct.unpack_from("<II", content)
        if kind not in (1, 2) or not version & 0xFF:
            return b"", content
        position = 8
        names = []
        for _ in range(3):
            (size,) = struct.unpack_from("<I", content, position)
            names.append(content[position + 4 : position + 4 + size].rstrip(b"\0"))
            position += 4 + size
        (size,) = struct.unpack_from("<I", content, position)
        return names[0], content[position + 4 : position + 4 + size]
    except struct.error:
        return b"", content


def knows_onenote(file: File) -> bool:
    """The identifier of a OneNote section or table of contents."""
    return bytes(file.data[:16]) in (_ONENOTE, *_ONENOTE_OTHERS)


def open_onenote(walk: Walk, file: File) -> None:
    """Hand over every FileDataStoreObject (MS-ONESTORE 2.6.13).

    Which name belongs to which object is kept elsewhere in the file; so each is examined under all the names
    in it that would make it dangerous.
    """
    data = bytes(file.data)
    names = dict.fromkeys(found[0].decode("utf-16-le") for found in _WIDE_NAME.finditer(data))
    dangerous = [
        name for name in names if (kind := filetypes.lookup(name)) and FileClass.PLAIN not in kind.classes
    ]
    position = data.find(_FILE_DATA)
    while position >= 0 and position + 36 <= len(data):
        (size,) = struct.unpack_from("<Q", data, position + 16)
        content = data[position + 36 : position + 36 + size]
        picture = content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"))
        raw_names = ["picture"] if picture else [*dangerous[:20], "embedded file"]
        walk.unpack(file, [content], raw_names=raw_names, quiet=picture)
        position = data.find(_FILE_DATA, position + 36 + max(0, min(size, len(data))))


RTF = Family(name="RTF document", knows=knows, open=open_)
ONENOTE = Family(name="OneNote section", knows=knows_onenote, open=open_onenote)
