"""Owns PDF: embedded files, and actions that start programs or open what is embedded.

No page is drawn and no script is run. Objects are found by scanning, as lenient readers do, in the file and in
its object streams (ISO 32000-1 section 7.5.7). Script in a form is common and at most worth a tag.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gatepost_milter.inspection.containers import pdfkey
from gatepost_milter.inspection.containers.walk import Family, File, UnreadableError, Walk, inflate
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

_START = re.compile(rb"%PDF")
_STREAM = re.compile(rb"stream\r?\n?")
_NUMBERED = re.compile(rb"(\d{1,10})\s{1,20}\d{1,5}\s{1,20}obj\b")
_DICTIONARY = 8192
_NAME_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_LAUNCH = re.compile(rb"/S\s{0,20}/Launch\b")
_REMOTE = re.compile(rb"/S\s{0,20}/GoToR\b[^>]{0,300}/F\s{0,20}(?:<<[^>]{0,100})?\((?:\\\\){2}")
_SCRIPT = re.compile(rb"/S\s{0,20}/JavaScript\b|/JS\s{0,20}[(<\d]|/JavaScript\s{0,20}<<")
_OPENS = re.compile(rb"exportDataObject\s{0,20}\\?\(.{0,300}?nLaunch\s{0,20}:\s{0,20}[12]", re.DOTALL)
_EMBEDDED = re.compile(rb"/Type\s{0,20}/EmbeddedFile\b")
_REFERRED = re.compile(rb"/EF\s{0,20}<<[^>]{0,300}?/U?F\s{1,20}(\d{1,10})\s{1,20}\d{1,5}\s{1,20}R")
_FILE_NAME = re.compile(rb"/U?F\s{0,20}(\((?:\\.|[^\\()]){0,1000}\)|<[0-9A-Fa-f\s]{0,2000}>)", re.DOTALL)
_ENCRYPTED = re.compile(rb"/Encrypt\s{0,20}(?:\d{1,10}\s{1,20}\d{1,5}\s{1,20}R|<<)")
_XFA = re.compile(rb"/RichMedia\b|/GoToE\b")
_FILTERS = re.compile(rb"/(?:Filter|F)\s{0,20}(\[[^\]]{0,300}\]|/[A-Za-z0-9]{1,30})")
_ABBREVIATED = {
    b"Fl": b"FlateDecode",
    b"AHx": b"ASCIIHexDecode",
    b"A85": b"ASCII85Decode",
    b"RL": b"RunLengthDecode",
}
_MOST_TEXT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """A stream object: its number, its dictionary, and where its packed bytes stand."""

    number: int
    dictionary: bytes
    start: int
    end: int


def knows(file: File) -> bool:
    """The header within the first kilobyte: readers look no closer."""
    return _START.search(bytes(file.data[:1024])) is not None


def open_(walk: Walk, file: File) -> None:
    """Mark actions, and hand over embedded files."""
    data = file.data
    encrypted = _ENCRYPTED.search(data) is not None
    streams = list(_streams(walk, data))
    texts = [_plain_names(text) for text in _texts(walk, data, streams, encrypted=encrypted)]
    for text in texts:
        if _LAUNCH.search(text):
            file.mark(FileClass.SHORTCUT, "it starts a program when asked to (launch action)")
        if _REMOTE.search(text):
            file.mark(FileClass.SHORTCUT, "it opens a file on another computer")
        if _OPENS.search(text):
            file.mark(FileClass.SCRIPT, "its script opens a file that it holds")
        if (b"JavaScript" in text or b"/JS" in text) and _SCRIPT.search(text):
            file.tier = min(filter(None, (file.tier, "T3")))
            if "it holds JavaScript" not in file.reasons:
                file.reasons.append("it holds JavaScript")
    names = _file_names(texts)
    found = False
    for stream in streams:
        dictionary = _plain_names(stream.dictionary)
        if _EMBEDDED.search(dictionary) or stream.number in names:
            found = True
            raw_names = names.get(stream.number) or ["embedded file"]
            if encrypted:
                mark = (FileClass.ENCRYPTED, "the document that holds it is encrypted")
                walk.member(file, None, raw_names=raw_names, marks=[mark])
            else:
                walk.unpack(file, _unfiltered(data, stream), raw_names=raw_names)
    if encrypted and not pdfkey.opens_without_password(data):
        file.mark(FileClass.ENCRYPTED, "it is protected by a password")
    elif encrypted:
        file.tier = min(filter(None, (file.tier, "T3")))
        file.reasons.append("it is protected against changes, and opens without a password")
    for number in names.keys() - {stream.number for stream in streams}:
        if found or not encrypted:
            walk.member(file, None, raw_names=names[number], marks=[(FileClass.OPAQUE, "it could not be found")])


def _streams(walk: Walk, data: Buffer) -> Iterator[_Stream]:
    """Every stream object, by scanning; bounded by the budget's time."""
    last = 0
    for count, found in enumerate(_STREAM.finditer(data)):
        if not count % 64:
            walk.budget.check()
        if data[found.start() - 3 : found.start()] == b"end":
            continue
        before = bytes(data[max(last, found.start() - _DICTIONARY) : found.start()])
        headers = list(_NUMBERED.finditer(before))
        if not headers or not before.rstrip().endswith(b">>"):
            continue
        end = data.find(b"endstream", found.end())
        end = len(data) if end < 0 else end
        last = found.start()
        yield _Stream(
            number=int(headers[-1][1]), dictionary=before[headers[-1].end() :], start=found.end(), end=end
        )


def _texts(walk: Walk, data: Buffer, streams: list[_Stream], *, encrypted: bool) -> Iterator[bytes]:
    """What may hold dictionaries: the file between its streams, object streams, and script kept in streams."""
    position = 0
    outside = []
    for stream in streams:
        outside.append(bytes(data[position : stream.start]))
        position = max(position, stream.end)
    outside.append(bytes(data[position:]))
    yield b"\n".join(outside)
    if encrypted:
        return
    for stream in streams:
        dictionary = _plain_names(stream.dictionary)
        if not re.search(rb"/Type\s{0,20}/ObjStm\b", dictionary) and not _short_script(stream, dictionary):
            continue
        unpacked = bytearray()
        try:
            for piece in _unfiltered(data, stream):
                walk.budget.expand(len(piece))
                unpacked += piece
                if len(unpacked) > _MOST_TEXT:
                    raise UnreadableError("an object stream in it is too long")
        except (UnreadableError, zlib.error, ValueError):
            pass  # what came before the damage is read; a reader sees no more of it either
        yield bytes(unpacked)


def _short_script(stream: _Stream, dictionary: bytes) -> bool:
    """Streams without a type, of a size that script has: actions may refer to them."""
    return b"/Type" not in dictionary and b"/Subtype" not in dictionary and stream.end - stream.start < 64 * 1024


def _plain_names(text: bytes) -> bytes:
    """Names without their escapes: /J#61vaScript is /JavaScript."""
    return _NAME_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text) if b"#" in text else text


def _file_names(texts: list[bytes]) -> dict[int, list[str]]:
    """The names of embedded files by the number of their stream, from file specifications."""
    names: dict[int, list[str]] = {}
    for text in texts:
        for found in _REFERRED.finditer(text):
            start = max(text.rfind(b" obj", 0, found.start()), found.start() - 2000, 0)
            stop = text.find(b"endobj", found.end())
            around = text[start : found.end() + 1000 if stop < 0 else min(stop, found.end() + 1000)]
            raw_names = [_text(each[1]) for each in _FILE_NAME.finditer(around)]
            names.setdefault(int(found[1]), []).extend(name for name in raw_names if name)
    return {number: list(dict.fromkeys(each))[:20] or ["embedded file"] for number, each in names.items()}


_STRING_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)


def _text(raw: bytes) -> str:
    """A string object as text: PDFDocEncoding taken as Latin-1, or UTF-16 and UTF-8 by their marks."""
    if raw.startswith(b"<"):
        digits = re.sub(rb"[^0-9A-Fa-f]", b"", raw)
        content = bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
    else:
        content = _STRING_ESCAPE.sub(_unescaped, raw[1:-1])
    if content.startswith(b"\xfe\xff"):
        return content[2:].decode("utf-16-be", "replace")
    if content.startswith(b"\xef\xbb\xbf"):
        return content[3:].decode("utf-8", "replace")
    return content.decode("latin-1")


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b""}.get(
        code, code
    )


def _unfiltered(data: Buffer, stream: _Stream) -> Iterator[bytes]:
    """The stream's bytes after its filters. Raises UnreadableError for one that we do not have."""
    found = _FILTERS.search(_plain_names(stream.dictionary))
    filters = re.findall(rb"/([A-Za-z0-9]{1,30})", found[1]) if found else []
    filters = [_ABBREVIATED.get(each, each) for each in filters]
    if filters == [b"FlateDecode"]:
        yield from inflate(data, start=stream.start, end=stream.end, window=15)
        return
    content = bytes(data[stream.start : stream.end])
    for each in filters:
        if each == b"FlateDecode":
            content = b"".join(inflate(content, window=15))
        elif each == b"ASCIIHexDecode":
            digits = re.sub(rb"[^0-9A-Fa-f]", b"", content.partition(b">")[0])
            content = binascii.unhexlify(digits + b"0" * (len(digits) % 2))
        elif each == b"ASCII85Decode":
            content = base64.a85decode(
                content.strip().removesuffix(b"~>").removeprefix(b"<~"), ignorechars=b" \t\n\r\v\0"
            )
        else:
            raise UnreadableError(f"it is packed by a filter that is not read ({each.decode('ascii')})")
    yield content


FAMILY = Family(name="PDF document", knows=knows, open=open_)
