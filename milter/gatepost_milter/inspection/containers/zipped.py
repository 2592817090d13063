"""Owns zip files: members by the central directory and by the local headers, and what kind of zip it is.

Unpackers differ: Windows and most programs believe the central directory, streaming ones and repair tools the
local headers. An attacker makes the two disagree. So both are read, and the union is examined (APPNOTE 4.3).
"""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import zstandard

from gatepost_milter.inspection import marks
from gatepost_milter.inspection.containers import office
from gatepost_milter.inspection.containers.walk import (
    Family,
    File,
    LimitError,
    UnreadableError,
    Walk,
    feed,
    inflate,
)
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import Defect, FileClass

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END64 = b"PK\x06\x06"
_LOCAL_HEAD = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEAD = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_HEAD = struct.Struct("<4sHHHHIIH")
_END64_HEAD = struct.Struct("<4sQHHIIQQQQ")
_MOST = 200_000

_ENCRYPTED = 0x0001
_STREAMED = 0x0008
_STRONG = 0x0040
_UTF8 = 0x0800
_MASKED = 0x2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A member under one reading. ``start`` and ``end`` bound its packed bytes."""

    names: tuple[str, ...]
    method: int
    flags: int
    start: int
    end: int
    header: int
    size: int


_WORKSHEETS = frozenset({"ggb", "ggt"})
_WORKSHEET_SCRIPT = ("geogebra_javascript.js",)


def knows(file: File) -> bool:
    """Zip at the start, or an end-of-directory record in the tail: after other data, in a self-extractor."""
    return bytes(file.data[:4]) in (_LOCAL, marks.ZIP_END, b"PK\x07\x08", b"PK00") or _find_end(file.data) >= 0


def open_(walk: Walk, file: File) -> None:
    """Hand over every member of either reading, and say what kind of zip this is."""
    data = file.data
    entries, hidden = _central(walk, data)
    complete = bool(entries) or _is_empty(data)
    found = _gaps(walk, data, entries)
    if not entries and not found and not _is_empty(data):
        raise UnreadableError("its list of files cannot be read")
    if complete and found:
        walk.defects.append(
            Defect(code="zip-hidden-members", where=file.path[:4000], detail=f"{len(found)} not in its directory")
        )
    if not bytes(data[:4]).startswith(b"PK"):
        file.mark(FileClass.ARCHIVE, "a zip file follows other data")
    if hidden:
        file.mark(FileClass.ENCRYPTED, "its file names are encrypted")
    everything = entries + found
    document = flavour(file, everything)
    for entry in everything:
        _visit(walk, file, entry, quiet=document)
    if document and walk.texts is not None:
        pages = [entry for entry in everything if not entry.flags & (_ENCRYPTED | _STRONG)]
        walk.texts.document(walk, file, [(entry.names[0], partial(unpacked, data, entry)) for entry in pages])


def flavour(file: File, entries: Iterable[Entry]) -> bool:
    """Mark what kind of zip the names show. True for a document whose innards are no attachments of their own."""
    known = {name.replace("\\", "/").lstrip("/") for entry in entries for name in entry.names}
    lower = {name.lower() for name in known}
    if "classes.dex" in lower or "androidmanifest.xml" in lower:
        file.mark(FileClass.INSTALLER, "an Android app")
    if "meta-inf/manifest.mf" in lower and any(name.endswith(".class") for name in lower):
        file.mark(FileClass.EXECUTABLE, "a Java program")
    if lower & {"appxmanifest.xml", "appxmetadata/appxbundlemanifest.xml"}:
        file.mark(FileClass.INSTALLER, "a Windows app package")
    if lower & {"extension.vsixmanifest", "install.rdf", "meta-inf/mozilla.rsa", "meta-inf/mozilla.sf"}:
        file.mark(FileClass.INSTALLER, "a program extension")
    if any(name.startswith("payload/") and ".app/" in name for name in lower):
        file.mark(FileClass.INSTALLER, "an iOS app")
    document = "[content_types].xml" in lower or ("mimetype" in lower and "meta-inf/manifest.xml" in lower)
    document = document or ("mimetype" in lower and "meta-inf/container.xml" in lower)
    if document and bytes(file.data[:2]) == b"PK" and not file.extensions() & {"zip"}:
        file.clear(FileClass.ARCHIVE)
    return document


def _visit(walk: Walk, file: File, entry: Entry, *, quiet: bool) -> None:
    name = entry.names[0]
    if name.endswith(("/", "\\")) and entry.end <= entry.start:
        return
    if entry.flags & (_ENCRYPTED | _STRONG) or entry.method == 99:
        # Traditional zip encryption is broken in minutes; AES (WinZip's method 99) and PKWARE's own are not.
        weak = entry.method != 99 and not entry.flags & _STRONG
        reason = "files in it are encrypted, weakly (ZipCrypto)" if weak else "files in it are encrypted"
        file.mark(FileClass.ENCRYPTED, reason)
        mark = (FileClass.ENCRYPTED, "it cannot be read without the password")
        walk.member(file, None, raw_names=entry.names, marks=[mark], size=entry.size)
        return
    look = partial(office.look, file, name) if quiet else None
    skip = partial(office.is_markup, name) if quiet and len(entry.names) == 1 else None
    walk.unpack(
        file, unpacked(file.data, entry), raw_names=_member_names(file, entry), quiet=quiet, look=look, skip=skip
    )


def _member_names(file: File, entry: Entry) -> Sequence[str]:
    """The names of a member. A GeoGebra worksheet's own script runs inside GeoGebra: nobody opens it as a file."""
    if entry.names == _WORKSHEET_SCRIPT and file.extensions() and file.extensions() <= _WORKSHEETS:
        return ("worksheet script",)
    return entry.names


def unpacked(data: Buffer, entry: Entry) -> Iterator[bytes]:
    """The member's bytes, in pieces. Raises UnreadableError for a method we do not have."""
    start, end = entry.start, min(entry.end, len(data))
    if entry.method == 0:
        for position in range(start, end, 1 << 18):
            yield data[position : min(position + (1 << 18), end)]
        if entry.end > len(data):
            raise UnreadableError("it ends too early")
    elif entry.method == 8:
        yield from inflate(data, start=start, end=end)
    elif entry.method == 12:
        yield from feed(bz2.BZ2Decompressor(), data, start=start, end=end)
    elif entry.method == 14:
        yield from feed(_lzma(data, start), data, start=start + 9, end=end)
    elif entry.method == 95:
        yield from feed(lzma.LZMADecompressor(format=lzma.FORMAT_XZ), data, start=start, end=end)
    elif entry.method in (20, 93):
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data[start:end])
        while piece := reader.read(1 << 18):
            yield piece
    else:
        raise UnreadableError(f"it is packed by a method that cannot be read ({entry.method})")


def _lzma(data: Buffer, start: int) -> lzma.LZMADecompressor:
    """A decoder from the properties that stand before the data (APPNOTE 5.8.8)."""
    properties = data[start + 4]
    (dictionary,) = struct.unpack_from("<I", data, start + 5)
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": min(dictionary, 1 << 28), "lc": lc, "lp": lp, "pb": pb}]
    return lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters)


def _find_end(data: Buffer) -> int:
    """Where the last plausible end record is, -1 when there is none."""
    lowest = max(0, len(data) - marks.ZIP_TAIL)
    position = data.rfind(marks.ZIP_END, lowest)
    while position >= 0:
        if position + _END_HEAD.size <= len(data):
            _, _, _, _, count, size, _, _ = _END_HEAD.unpack_from(data, position)
            directory = position - size
            if count == 0xFFFF or size == 0xFFFFFFFF:
                return position
            if directory >= 0 and (count == 0 or data[directory : directory + 4] == _CENTRAL):
                return position
            if bytes(data[:2]) == b"PK" or data.rfind(_CENTRAL, 0, position) >= 0:
                return position
        position = data.rfind(marks.ZIP_END, lowest, position)
    return -1


def _is_empty(data: Buffer) -> bool:
    end = _find_end(data)
    return end == 0 and _END_HEAD.unpack_from(data, end)[4] == 0


def _central(walk: Walk, data: Buffer) -> tuple[list[Entry], bool]:
    """Members by the central directory, and whether it is encrypted."""
    end = _find_end(data)
    if end < 0:
        return [], False
    _, _, _, _, _, size, offset, _ = _END_HEAD.unpack_from(data, end)
    directory = end - size
    zip64 = data.rfind(_END64, max(0, end - 4096), end)
    if 0xFFFFFFFF in (size, offset) and zip64 >= 0 and zip64 + _END64_HEAD.size <= len(data):
        *_, size, offset = _END64_HEAD.unpack_from(data, zip64)
        directory = zip64 - size
    if directory < 0 or data[directory : directory + 4] != _CENTRAL:
        directory = offset if data[offset : offset + 4] == _CENTRAL else _first_central(data, end)
        if directory < 0:
            return [], False
    # Data may stand before the zip (a self-extractor): offsets then count from the zip's own start, or not.
    shift = max(0, directory - offset)
    entries: list[Entry] = []
    hidden = False
    position = directory
    while data[position : position + 4] == _CENTRAL and len(entries) < _MOST:
        if not len(entries) % 256:
            walk.budget.check()
        head = _CENTRAL_HEAD.unpack_from(data, position)
        _, _, _, flags, method, _, _, _, packed, plain, name_size, extra_size, comment_size, *_, local = head
        at = position + _CENTRAL_HEAD.size
        name = data[at : at + name_size]
        extra = data[at + name_size : at + name_size + extra_size]
        hidden = hidden or bool(flags & _MASKED)
        plain, packed, local = _wide(extra, plain, packed, local)
        entry = Entry(
            names=_names(name, flags, extra), method=method, flags=flags, start=0, end=0, header=local, size=plain
        )
        entries += _located(data, entry, packed=packed, shift=shift)
        position = at + name_size + extra_size + comment_size
    return entries, hidden


def _first_central(data: Buffer, end: int) -> int:
    """Where an unbroken run of directory records that leads up to the end record may start."""
    return data.find(_CENTRAL, 0, end)


def _wide(extra: bytes, plain: int, packed: int, local: int) -> tuple[int, int, int]:
    """The ZIP64 values where the short fields are full (APPNOTE 4.5.3)."""
    if 0xFFFFFFFF not in (plain, packed, local):
        return plain, packed, local
    values: Iterator[int] = iter(())
    for tag, field in _fields(extra):
        if tag == 1:
            values = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
    plain = next(values, plain) if plain == 0xFFFFFFFF else plain
    packed = next(values, packed) if packed == 0xFFFFFFFF else packed
    local = next(values, local) if local == 0xFFFFFFFF else local
    return plain, packed, local


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, position)
        yield tag, extra[position + 4 : position + 4 + size]
        position += 4 + size


def _names(name: bytes, flags: int, extra: bytes) -> tuple[str, ...]:
    """Every name that an unpacker could read: UTF-8, code page 437, and the Unicode extra field."""
    found = []
    try:
        found.append(name.decode("utf-8"))
    except UnicodeDecodeError:
        found.append(name.decode("utf-8", "replace"))
    old = name.decode("cp437")
    if flags & _UTF8 or name.isascii():
        found.append(old)
    else:
        found.insert(0, old)
    if extra:
        found += [field[5:].decode("utf-8", "replace") for tag, field in _fields(extra) if tag == 0x7075]
    return tuple(dict.fromkeys(each for each in found if each)) or ("unnamed",)


def _located(data: Buffer, entry: Entry, *, packed: int, shift: int) -> list[Entry]:
    """The directory's entry with its bytes, and a second one where the local header says something else."""
    header = entry.header + shift
    if data[header : header + 4] != _LOCAL:
        header = entry.header
    if data[header : header + 4] != _LOCAL or header + _LOCAL_HEAD.size > len(data):
        return [replace(entry, method=-1)] if packed or entry.size else [entry]
    _, _, flags, method, _, _, _, local_packed, local_plain, name_size, extra_size = _LOCAL_HEAD.unpack_from(
        data, header
    )
    at = header + _LOCAL_HEAD.size
    names = _names(data[at : at + name_size], flags, data[at + name_size : at + name_size + extra_size])
    start = at + name_size + extra_size
    both = replace(
        entry,
        names=tuple(dict.fromkeys(entry.names + names)),
        start=start,
        end=start + packed,
        header=header,
    )
    sized = not flags & _STREAMED and local_packed != 0xFFFFFFFF
    if (
        method == entry.method
        and flags & _ENCRYPTED == entry.flags & _ENCRYPTED
        and (not sized or local_packed == packed)
    ):
        return [both]
    end = start + (local_packed if sized else packed)
    other = replace(both, method=method, flags=flags, end=end, size=local_plain if sized else entry.size)
    return [both, other]


def _gaps(walk: Walk, data: Buffer, entries: list[Entry]) -> list[Entry]:
    """Members by local headers that stand where the directory has none."""
    found: list[Entry] = []
    position = 0
    for header, end in [*sorted((entry.header, entry.end) for entry in entries), (len(data), len(data))]:
        while position < header and len(found) < _MOST:
            walk.budget.check()
            at = data.find(_LOCAL, position, header)
            if at < 0:
                break
            entry = _local(walk, data, at)
            if entry is None:
                position = at + 4
                continue
            found.append(entry)
            position = max(entry.end, at + 4)
        position = max(position, end)
    return found


def _local(walk: Walk, data: Buffer, header: int) -> Entry | None:
    """The member that a local header describes, None when it is none."""
    if header + _LOCAL_HEAD.size > len(data):
        return None
    _, version, flags, method, _, _, _, packed, plain, name_size, extra_size = _LOCAL_HEAD.unpack_from(
        data, header
    )
    at = header + _LOCAL_HEAD.size
    start = at + name_size + extra_size
    if version > 0xFFF or not name_size or start > len(data):
        return None
    extra = data[at + name_size : start]
    names = _names(data[at : at + name_size], flags, extra)
    plain, packed, _ = _wide(extra, plain, packed, 0)
    entry = Entry(
        names=names, method=method, flags=flags, start=start, end=start + packed, header=header, size=plain
    )
    if flags & _STREAMED and not packed:
        return replace(entry, end=_streamed_end(walk, data, entry), size=-1)
    return entry


def _streamed_end(walk: Walk, data: Buffer, entry: Entry) -> int:
    """Where packed bytes of untold length end: at the next record, which the data descriptor stands before."""
    marks = (_LOCAL, _CENTRAL, b"PK\x07\x08")
    ends = [data.find(mark, entry.start) for mark in marks]
    try:
        walk.budget.check()
    except LimitError:
        return len(data)
    return min((end for end in ends if end >= 0), default=len(data))


FAMILY = Family(name="zip file", knows=knows, open=open_)
