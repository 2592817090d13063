"""Owns the archives and disk images that libarchive reads: 7z, rar, cab, iso, tar, cpio, ar, deb, rpm, lha, xar.

An archive may stand behind other data (a self-extractor, a picture with a rar after it): its mark is looked for
where unpackers look. Kinds that nothing here reads are ``opaque``, never plain.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from libarchive import ffi
from libarchive.exception import ArchiveError

from gatepost_milter.inspection import detect, marks, unopened
from gatepost_milter.inspection.containers.walk import Family, File, UnreadableError, Walk
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

# libarchive's Python side logs warnings with names out of the archive; private, and nobody reads them here.
logging.getLogger(ffi.logger.name).disabled = True

_PIECE = 256 * 1024
_LARGEST_EMPTY = 512  # bytes of an archive that holds nothing; one of zeros is an empty tar, of any length
_DIRECTORY, _KIND = 0o040000, 0o170000

# Marks at a fixed place, and the libarchive formats and filters that may read what bears them.
_MARKS: tuple[tuple[int, bytes, tuple[str, ...], tuple[str, ...]], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", ("7zip",), ()),
    (0, b"Rar!\x1a\x07", ("rar", "rar5"), ()),
    (0, b"MSCF\0\0\0\0", ("cab",), ()),
    (0, b"!<arch>\n", ("ar",), ()),
    (0, b"070701", ("cpio",), ()),
    (0, b"070702", ("cpio",), ()),
    (0, b"070707", ("cpio",), ()),
    (0, b"\xc7\x71", ("cpio",), ()),
    (0, b"\x71\xc7", ("cpio",), ()),
    (0, b"WARC/", ("warc",), ()),
    (0, b"xar!", ("xar",), ("gzip", "bzip2", "xz", "lzma")),
    (0, b"\xed\xab\xee\xdb", ("cpio",), ("rpm", "gzip", "bzip2", "xz", "lzma", "zstd")),
    (257, b"ustar", ("tar",), ()),
    (32769, b"CD001", ("iso9660",), ()),
    (2, b"-lh", ("lha",), ()),
    (2, b"-lz", ("lha",), ()),
)
# The formats by which archives are read that stand behind other data.
_BEHIND = {"7z": ("7zip",), "rar": ("rar", "rar5"), "cab": ("cab",)}
# What follows the marks that are made of letters: class lists begin with dates such as 070701.
_LETTERS = (b"0707", b"WARC")
_SPELT = re.compile(rb"07070[12][0-9A-Fa-f]{16}|070707[0-7]{16}|WARC/\d\.\d\r?\n")
_OLD_TAR = frozenset({"tar"})
# RAR 5: checksum, size, type 1, flags, the size of the extra area if a flag says so, the flags of the archive.
_RAR5_MAIN = re.compile(
    rb"(?s)Rar!\x1a\x07\x01\0.{4}[\x80-\xff]{0,2}[\0-\x7f]\x01"
    rb"(?:[\x01\x03\x05\x07][\x80-\xff]{0,2}[\0-\x7f]|[\0\x02\x04\x06])([\0-\xff])"
)

_UNREAD_TYPES = {"application/mac-binhex40": "a BinHex file"}
_UNOPENED = frozenset({FileClass.ARCHIVE, FileClass.DISK_IMAGE, FileClass.SCRIPT})
_OLD_CODINGS = frozenset({"hqx", "bhx", "xxe"})
_OPENPGP = frozenset({"gpg", "pgp"})
_PACKED_PACKETS = frozenset(bytes([tag]) for tag in (0xA0, 0xA1, 0xA2, 0xA3, 0xC8, 0xAC, 0xAD, 0xAE, 0xAF, 0xCB))
# One look instead of one for each mark: most files have none of them.
_ANY_MARK = re.compile(rb"(?s)" + b"|".join(rb".{%d}" % at + re.escape(mark) for at, mark, _, _ in _MARKS))
_VOLUME = re.compile(r"(?:\d{3}|[rz]\d\d)\Z")


def _found(file: File) -> tuple[int, tuple[str, ...], tuple[str, ...]] | None:
    """Where an archive starts, and the formats and filters to read it by."""
    if _ANY_MARK.match(file.data):
        for at, mark, formats, filters in _MARKS:
            if file.data[at : at + len(mark)] == mark and (
                not mark.startswith(_LETTERS) or _SPELT.match(file.data)
            ):
                return 0, formats, filters
    if file.mime in ("application/x-tar", "application/x-gtar") or file.extensions() & _OLD_TAR:
        return 0, ("tar",), ()
    if file.data[:2] != b"PK" and len(file.data) > 64:
        behind = marks.archive(file.data, 1, marks.FAR + marks.LONGEST)
        if behind is not None:
            kind, at = behind
            return at, _BEHIND[kind], ()
    return None


def knows(file: File) -> bool:
    """A mark of an archive at its place, or that of a self-extractor's payload."""
    return len(file.data) > 8 and _found(file) is not None


def open_(walk: Walk, file: File) -> None:
    """Hand over every member."""
    found = _found(file)
    if found is None:
        return
    start, formats, filters = found
    if start:
        file.mark(FileClass.ARCHIVE, "an archive follows other data")
    elif not file.classes & {FileClass.INSTALLER, FileClass.DISK_IMAGE}:
        file.mark(FileClass.ARCHIVE, f"{formats[0]} archive")
    if _is_volume(bytes(file.data[start : start + 64])):
        file.mark(FileClass.OPAQUE, "it is one volume of a split archive")
    with _reader(file.data, start, formats, filters) as archive:
        _members(walk, file, archive)


def _is_volume(head: bytes) -> bool:
    """Whether a RAR archive is one of several: what crosses its end looks whole to libarchive, and is not."""
    if head.startswith(b"Rar!\x1a\x07\0"):
        return head[9:10] == b"\x73" and head[10] & 1 == 1
    main = _RAR5_MAIN.match(head)
    return main is not None and main[1][0] & 1 == 1


def _members(walk: Walk, file: File, archive: int) -> None:
    entry = ctypes.c_void_p()
    empty = True
    while True:
        walk.budget.check()
        try:
            if ffi.read_next_header(archive, ctypes.byref(entry)) == ffi.ARCHIVE_EOF:
                break
        except ArchiveError as error:
            _explain(file, error)
            return
        empty = False
        if ffi.entry_filetype(entry) & _KIND == _DIRECTORY:
            continue
        names = _names(entry)
        if _encrypted(entry):
            file.mark(FileClass.ENCRYPTED, "files in it are encrypted")
            mark = (FileClass.ENCRYPTED, "it cannot be read without the password")
            size = ffi.entry_size(entry) if ffi.entry_size_is_set(entry) else -1
            walk.member(file, None, raw_names=names, marks=[mark], size=max(size, -1))
            continue
        walk.unpack(file, _data(archive), raw_names=names)
    if empty and len(file.data) > _LARGEST_EMPTY and file.data[:64] != b"\0" * 64:
        file.mark(FileClass.OPAQUE, "no file could be read from it")


def _explain(file: File, error: ArchiveError) -> None:
    words = str(error.msg).lower()
    if "encrypt" in words or "passphrase" in words or "password" in words:
        file.mark(FileClass.ENCRYPTED, "its list of files is encrypted")
    else:
        file.mark(FileClass.OPAQUE, "it is damaged, or packed in a way that cannot be read")


def _names(entry: ctypes.c_void_p) -> Sequence[str]:
    wide = ffi.entry_pathname_w(entry)
    raw = ffi.entry_pathname(entry)
    names = [wide] if wide else []
    if raw:
        names.append(raw.decode("utf-8", "replace"))
    return list(dict.fromkeys(names)) or ["unnamed"]


def _encrypted(entry: ctypes.c_void_p) -> bool:
    return bool(_entry_is_data_encrypted(entry) or _entry_is_metadata_encrypted(entry))


def _data(archive: int) -> Iterator[bytes]:
    buffer = ctypes.create_string_buffer(_PIECE)
    while True:
        try:
            size = ffi.read_data(archive, buffer, _PIECE)
        except ArchiveError as error:
            words = str(error.msg).lower()
            locked = "encrypt" in words or "passphrase" in words
            raise UnreadableError("it is encrypted" if locked else "it is damaged") from error
        if size <= 0:
            return
        yield buffer.raw[:size]


@contextmanager
def _reader(data: Buffer, start: int, formats: Sequence[str], filters: Sequence[str]) -> Iterator[int]:
    """An open libarchive handle on ``data`` from ``start``."""
    archive = ffi.read_new()
    view = None
    if isinstance(data, mmap.mmap):
        view = (ctypes.c_char * len(data)).from_buffer(data)
        address = ctypes.addressof(view)
    else:
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    try:
        for name in filters:
            ffi.get_read_filter_function(name)(archive)
        for name in formats:
            ffi.get_read_format_function(name)(archive)
        ffi.read_open_memory(archive, address + start, len(data) - start)
        yield archive
    except ArchiveError as error:
        raise UnreadableError("it is damaged, or packed in a way that cannot be read") from error
    finally:
        ffi.read_free(archive)
        del view


def raw(data: Buffer, filter_name: str) -> Iterator[bytes]:
    """What one libarchive filter makes of ``data``: for packers that Python has no module for."""
    with _reader(data, 0, ("raw",), (filter_name,)) as archive:
        entry = ctypes.c_void_p()
        if ffi.read_next_header(archive, ctypes.byref(entry)) != ffi.ARCHIVE_EOF:
            yield from _data(archive)


def _entry_function(name: str) -> ctypes._NamedFuncPointer:
    function: ctypes._NamedFuncPointer = getattr(ffi.libarchive, name)
    function.argtypes = [ctypes.c_void_p]
    function.restype = ctypes.c_int
    return function


_entry_is_data_encrypted = _entry_function("archive_entry_is_data_encrypted")
_entry_is_metadata_encrypted = _entry_function("archive_entry_is_metadata_encrypted")
# Looked up now: an inspector can open no library later.
for _format in ("rar5", "raw", *(each for _, _, formats, _ in _MARKS for each in formats)):
    ffi.get_read_format_function(_format)


def _unread(file: File) -> str:
    recognised = None if file.classes.isdisjoint(_UNOPENED) else unopened.recognise(file.data)
    if FileClass.DISK_IMAGE in file.classes:
        marks_found = detect.volume_marks(file.data)
        if b"CD001" in marks_found:  # read by libarchive, which does not see what Windows and macOS prefer
            second = recognised is not None or marks_found & detect.UDF_MARKS
            return "the second file system in it" if second else ""
        return recognised.words if recognised else "a disk image of this kind"
    if recognised:
        return recognised.words
    if file.extensions() & _OLD_CODINGS and detect.is_text(file.data, file.mime):
        return "a file in an old Macintosh or xx encoding"
    if file.mime in _UNREAD_TYPES:
        return _UNREAD_TYPES[file.mime]
    if file.extensions() & _OPENPGP and bytes(file.data[:1]) in _PACKED_PACKETS:
        return "an OpenPGP file"
    if any(_VOLUME.match(each) for each in file.extensions()) and file.mime == "application/octet-stream":
        return "one volume of a split archive"
    return ""


def knows_unread(file: File) -> bool:
    """A container of a kind that nothing here reads."""
    return bool(_unread(file))


def refuse(walk: Walk, file: File) -> None:
    """Say that it cannot be opened."""
    walk.budget.check()
    recognised = unopened.recognise(file.data)
    if recognised and recognised.encrypted:
        file.mark(FileClass.ENCRYPTED, recognised.words)
    file.mark(FileClass.OPAQUE, f"{_unread(file)} cannot be opened here")


FAMILY = Family(name="archive", knows=knows, open=open_)
UNREAD = Family(name="container", knows=knows_unread, open=refuse)
