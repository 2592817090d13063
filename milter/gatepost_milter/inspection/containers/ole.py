"""Owns compound files (MS-CFB): old Office documents, Outlook messages, packages in documents, MSI.

What makes a document dangerous is code that runs (VBA, Excel 4 macro sheets) and files packed into it. Charts and
equations are objects too, and harmless.
"""

from __future__ import annotations

import io
import mmap
import re
import struct

import olefile

from gatepost_milter.inspection.containers.walk import CONTENT_ERRORS, Family, File, UnreadableError, Walk, inflate
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MOST_STREAMS = 20_000
_INSTALLERS = ("000C1084", "000C1086", "000C1082")  # MSI, MSP, MST
_NATIVE = "\x01ole10native"
_STORAGE_RECORD = b"\x11\x10"  # RT_ExternalOleObjectStg (MS-PPT 2.13.24)
_EMPTY_CODE = 1500
_CODE_LINE = re.compile(rb"^(?!\s*(?:Attribute\s|'|Rem\s|Option\s|#|$))", re.IGNORECASE | re.MULTILINE)

Path = tuple[str, ...]


def knows(file: File) -> bool:
    """The compound file mark."""
    return bytes(file.data[:8]) == MAGIC


def open_(walk: Walk, file: File) -> None:
    """Mark what the streams show, and hand over the files that are packed in them."""
    source = io.BytesIO(bytes(file.data)) if not isinstance(file.data, mmap.mmap) else file.data
    try:
        compound = olefile.OleFileIO(source)
    except (*CONTENT_ERRORS, TypeError, AttributeError) as error:
        raise UnreadableError("it is a damaged compound file") from error
    try:
        entries: list[Path] = [tuple(each) for each in compound.listdir(streams=True, storages=True)]
        if len(entries) > _MOST_STREAMS:
            raise UnreadableError("it has more streams than are read")
        _classify(walk, file, compound, entries)
        if any(each[-1].startswith("__properties_version1") for each in entries):
            _message(walk, file, compound, entries)
        _objects(walk, file, compound, entries)
    except (TypeError, AttributeError) as error:
        raise UnreadableError("it is a damaged compound file") from error
    finally:
        if source is not file.data:
            compound.close()


def _classify(walk: Walk, file: File, compound: olefile.OleFileIO, entries: list[Path]) -> None:
    names = {"/".join(each).lower() for each in entries}
    last = {each[-1].lower() for each in entries}
    if str(compound.root.clsid).upper().startswith(_INSTALLERS):
        file.mark(FileClass.INSTALLER, "a Windows installer package")
    if last & {"encryptedpackage", "\tdrmcontent", "drmcontent", "encryptedsummary"}:
        file.mark(FileClass.ENCRYPTED, "it is protected by a password")
    code = [each for each in entries if len(each) > 1 and each[-2].lower() == "vba"]
    if any(each[-1].lower() in ("_vba_project", "dir") for each in code):
        modules = [_read(walk, compound, each) for each in code if _is_module(each[-1])]
        if any(map(_runs, modules)) or not modules:
            file.mark(FileClass.MACRO, "it holds macros (VBA)")
    for each in entries:
        lower = each[-1].lower()
        if lower in ("workbook", "book"):
            _workbook(file, _read(walk, compound, each))
        elif lower == "worddocument":
            head = _read(walk, compound, each)[:16]
            if len(head) >= 12 and head[11] & 0x01:  # FibBase.fEncrypted
                file.mark(FileClass.ENCRYPTED, "it is protected by a password")
        elif lower == "current user":
            head = _read(walk, compound, each)[:16]
            if head[12:16] == b"\xdf\xc4\xd1\xf3":  # MS-PPT 2.3.2: the token of an encrypted document
                file.mark(FileClass.ENCRYPTED, "it is protected by a password")
    if "_vba_project_cur" in names and not code:
        file.mark(FileClass.MACRO, "it holds macros (VBA)")


def _is_module(name: str) -> bool:
    lower = name.lower()
    return lower not in ("dir", "_vba_project") and not lower.startswith("__srp_")


def _runs(module: bytes) -> bool:
    """Whether a VBA module holds code: Excel writes empty ones into harmless workbooks.

    Source can be blanked while the compiled code stays (VBA stomping): a module with much before its source
    counts as code whatever the source says.
    """
    start = module.find(b"\x00Attribut\x00e ")
    if start < 3 or start > _EMPTY_CODE:
        return True
    source = decompress(module[start - 3 :])
    return _CODE_LINE.search(source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")) is not None


def decompress(data: bytes) -> bytes:
    """Undo the compression of MS-OVBA 2.4.1; stops at damage with what came before."""
    result = bytearray()
    position = 1
    while position + 2 <= len(data) and len(result) < 1 << 20:
        header = int.from_bytes(data[position : position + 2], "little")
        end = min(position + (header & 0x0FFF) + 3, len(data))
        position += 2
        start = len(result)
        if not header & 0x8000:
            result += data[position:end]
            position = end
            continue
        while position < end:
            flags = data[position]
            position += 1
            for bit in range(8):
                if position >= end:
                    break
                if not flags >> bit & 1:
                    result.append(data[position])
                    position += 1
                    continue
                token = int.from_bytes(data[position : position + 2], "little")
                position += 2
                width = max(4, (len(result) - start - 1).bit_length())
                offset = (token >> (16 - width)) + 1
                if offset > len(result) - start:
                    return bytes(result)
                for _ in range((token & (0xFFFF >> width)) + 3):
                    result.append(result[-offset])
    return bytes(result)


def _workbook(file: File, stream: bytes) -> None:
    """BIFF (MS-XLS): macro sheets by BOUNDSHEET, passwords by FILEPASS, in the first substream."""
    position = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        if kind == 0x0085 and size >= 6 and stream[position + 9] == 1:
            file.mark(FileClass.MACRO, "it holds an Excel 4 macro sheet")
        elif kind == 0x002F and not _default_password(stream[position + 4 : position + 4 + size]):
            file.mark(FileClass.ENCRYPTED, "it is protected by a password")
            return
        elif kind == 0x000A:
            return
        position += 4 + size


def _default_password(record: bytes) -> bool:
    """Whether Excel opens it without asking: XOR obfuscation with the well-known "VelvetSweatshop" verifier."""
    return record[:2] == b"\0\0" and record[4:6] in (b"\x0a\x9a", b"\x9a\x0a")


def _objects(walk: Walk, file: File, compound: olefile.OleFileIO, entries: list[Path]) -> None:
    for each in entries:
        lower = each[-1].lower()
        if lower == "powerpoint document":
            _slides(walk, file, _read(walk, compound, each))
        elif lower == _NATIVE:
            names, data = package(_read(walk, compound, each))
            walk.unpack(file, [data], raw_names=names)
        elif (
            lower in ("package", "contents", "embeddedodf")
            and compound.get_type(list(each)) == olefile.STGTY_STREAM
        ):
            walk.unpack(file, [_read(walk, compound, each)], raw_names=[each[-1]], quiet=True)


def _slides(walk: Walk, file: File, stream: bytes) -> None:
    """The storages in a presentation (MS-PPT 2.10.34): objects, and the VBA project; packed or as they are."""

    def told(data: Buffer, member: File | None) -> None:
        if member and FileClass.MACRO in member.classes:
            file.mark(FileClass.MACRO, "it holds macros (VBA)")

    position = stream.find(_STORAGE_RECORD)
    while position >= 2:
        walk.budget.check()
        (size,) = struct.unpack_from("<I", stream, position + 2) if position + 6 <= len(stream) else (0,)
        body = position + 6
        end = body + size
        packed = stream[position - 2 : position - 1] == b"\x10" and stream[body + 4 : body + 5] == b"\x78"
        if size > 8 and end <= len(stream) and (packed or stream.startswith(MAGIC, body)):
            pieces = inflate(stream, start=body + 4, end=end, window=15) if packed else [stream[body:end]]
            walk.unpack(file, pieces, raw_names=["object"], quiet=True, look=told)
            position = stream.find(_STORAGE_RECORD, end)
        else:
            position = stream.find(_STORAGE_RECORD, position + 1)


def package(stream: bytes) -> tuple[list[str], bytes]:
    """Names and bytes of the file in an Ole10Native stream (Object Packager); the bytes as they are if unclear."""
    try:
        return _package(stream[4:])
    except (ValueError, struct.error, IndexError):
        return ["packaged file"], stream[4:]


def _package(data: bytes) -> tuple[list[str], bytes]:
    kind, position = data[:2], 2
    if kind != b"\x02\0":
        raise ValueError("not a packaged file")
    names = []
    for _ in range(2):
        end = data.index(b"\0", position)
        names.append(data[position:end])
        position = end + 1
    position += 4
    (size,) = struct.unpack_from("<I", data, position)
    names.append(data[position + 4 : position + 4 + size].rstrip(b"\0"))
    position += 4 + size
    (size,) = struct.unpack_from("<I", data, position)
    content = data[position + 4 : position + 4 + size]
    wide = _wide_names(data, position + 4 + size)
    raw = [name.decode("cp1252", "replace") for name in names if name] + wide
    return list(dict.fromkeys(raw)) or ["packaged file"], content


def _wide_names(data: bytes, position: int) -> list[str]:
    """The Unicode names that newer versions write behind the file."""
    names = []
    for _ in range(3):
        if position + 4 > len(data):
            break
        (count,) = struct.unpack_from("<I", data, position)
        raw = data[position + 4 : position + 4 + 2 * count]
        if not 0 < count < 2048 or len(raw) != 2 * count:
            break
        names.append(raw.decode("utf-16-le", "replace").rstrip("\0"))
        position += 4 + 2 * count
    return [name for name in names if name]


def _message(walk: Walk, file: File, compound: olefile.OleFileIO, entries: list[Path]) -> None:
    """An Outlook message (MS-OXMSG): its attachments, and those of the messages in it."""
    streams = {tuple(part.lower() for part in each): each for each in entries}
    folders = {
        each[: at + 1] for each in streams for at, part in enumerate(each) if part.startswith("__attach_version1")
    }
    for folder in sorted(folders):
        names = []
        for tag in ("3707", "3704", "3001"):
            for kind, charset in (("001f", "utf-16-le"), ("001e", "cp1252")):
                found = streams.get((*folder, f"__substg1.0_{tag}{kind}"))
                if found:
                    names.append(_read(walk, compound, found).decode(charset, "replace").rstrip("\0"))
        content = streams.get((*folder, "__substg1.0_37010102"))
        if content:
            raw_names = [name for name in names if name] or ["attachment"]
            walk.unpack(file, [_read(walk, compound, content)], raw_names=raw_names)
    for lower, each in streams.items():
        if lower[-1] == "__substg1.0_10130102":  # the HTML body
            walk.unpack(file, [_read(walk, compound, each)], raw_names=["body.html"], quiet=True)


def _read(walk: Walk, compound: olefile.OleFileIO, path: Path) -> bytes:
    walk.budget.check()
    if compound.get_type(list(path)) != olefile.STGTY_STREAM:
        return b""
    data: bytes = compound.openstream(list(path)).read()
    return data


FAMILY = Family(name="compound file", knows=knows, open=open_)
