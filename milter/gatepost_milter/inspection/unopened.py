"""Owns the marks of archives, packed files and disk images that nothing here opens, and what each is called.

They are known so that they are never taken for plain data: somebody's unpacker opens every one of them. A mark of
letters only counts with the binary that follows it in a real file: people write "SIT!" and "COWD" in letters.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from gatepost_milter.inspection.model import FileClass

Buffer = bytes | mmap.mmap

_SECTOR = 512
_TABLE = 446  # where the four entries of a partition table stand in the first sector


@dataclass(frozen=True, slots=True, kw_only=True)
class Unopened:
    """What a mark says: a name for people with its article, the class, and whether all of it is encrypted."""

    words: str
    kind: FileClass
    encrypted: bool = False


_ARCHIVES = (
    (0, rb"\x60\xea.[\0-\x0a][\x1e-\x40]", "an ARJ archive"),
    (7, rb"\*\*ACE\*\*", "an ACE archive"),
    (0, rb"ALZ\x01", "an ALZip archive"),
    (0, rb"EGGA\0\x01", "an EGG archive"),
    (0, rb"7kSt\xa0", "a ZPAQ archive"),
    (0, rb"zPQ[\x01\x02]", "a ZPAQ archive"),
    (0, rb"StuffIt(?:!|[ ]\(c\)1997)", "a StuffIt archive"),
    (0, rb"SIT![\0-\x1f]", "a StuffIt archive"),
    (20, rb"\xdc\xa7\xc4\xfd", "a ZOO archive"),
    (0, rb"ArC\x01", "a FreeArc archive"),
    (7, rb"-sqx-", "an SQX archive"),
    (0, rb"UHA[\x05\x06]", "a UHARC archive"),
    (0, rb"LRZI\x00", "an lrzip file"),
    (0, rb"RZIP\x02", "an rzip file"),
    (0, rb"BZ3v1\0", "a bzip3 file"),
    (0, rb"\x89LZO\x00\r\n\x1a\n", "an LZO file"),
    (0, rb"\xff\x06\x00\x00sNaPpY", "a Snappy file"),
    (0, rb"SZDD\x88\xf0\x27\x33", "a file packed by COMPRESS.EXE"),
    (0, rb"SZ[ ]\x88\xf0\x27\x33\xd1", "a file packed by COMPRESS.EXE"),
    (0, rb"KWAJ\x88\xf0\x27\xd1", "a file packed by COMPRESS.EXE"),
    (0, rb"\x8f\xaf\xac\x84", "a PPMd file"),
    (0, rb"(?:AA01|YAA1).[\0-\x08]", "an Apple archive"),
    (0, rb"pbz[-4bexz]\0", "an Apple archive"),
    (0, rb"PAR2\0PKT", "a recovery volume"),
    (0, rb"Rar!\x1aRev", "a RAR recovery volume"),
    (0, rb"\x13\x5d\x65\x8c", "an InstallShield archive"),
    (0, rb"ISc\(.{3}[\0-\x04]", "an InstallShield cabinet"),
)
_IMAGES = (
    (0, rb"MSWIM\0\0\0", "a Windows image"),
    (0, rb"WLPWM\0\0\0", "a Windows image"),
    (0, rb"conectix", "a virtual disk (VHD)"),
    (0, rb"vhdxfile", "a virtual disk (VHDX)"),
    (0, rb"KDMV", "a virtual disk (VMDK)"),
    (0, rb"COWD\x01\0\0\0", "a virtual disk (VMDK)"),
    (0, rb"\s{0,64}\#\ Disk\ DescriptorFile\s{1,64}version\s*=", "the description of a virtual disk (VMDK)"),
    (0, rb"QFI\xfb", "a virtual disk (QCOW)"),
    (0, rb"QED\0", "a virtual disk (QED)"),
    (0, rb"Withou(?:tFreeSpace|FreSpacExt)", "a virtual disk (Parallels)"),
    (64, rb"\x7f\x10\xda\xbe", "a virtual disk (VDI)"),
    (0, rb"sprs\0\0\0", "a macOS sparse image"),
    (0, rb"hsqs", "a Squashfs image"),
    (0, rb"sqsh\0", "a Squashfs image"),
    (0, rb"\x45\x3d\xcd\x28|\x28\xcd\x3d\x45", "a CramFS image"),
    (0, rb"-rom1fs-", "a ROMFS image"),
    (0, rb"XFSB\0\0", "an XFS image"),
    (0, rb"\x3a\xff\x26\xed\x01\0", "an Android disk image"),
    (0, rb"\0\xff{10}\0.{3}[\x01\x02]", "a CD image in raw sectors"),
    (0, rb"MEDIA[ ]DESCRIPTOR[\x01\x02]", "the description of a CD image"),
    (0, rb"BWT5[ ]STREAM[ ]SIGN", "a BlindWrite CD image"),
    (0, rb"DAA\0", "a PowerISO image"),
    (0, rb"IsZ!\x40", "an ISZ image"),
    (0, rb"CISO[\0\x18]\0", "a compressed CD image"),
    (0, rb"MComprHD\0", "a compressed disk image"),
    (3, rb"ReFS\0\0\0\0", "a disk image"),
    (32, rb"NXSB", "an Apple disk image (APFS)"),
    (_SECTOR, rb"EFI[ ]PART", "the image of a whole disk"),
    (_SECTOR, rb"LABELONE.{16}LVM2[ ]001", "a Linux disk image"),
    (_SECTOR, rb"PM\0\0", "an Apple disk image"),
    (1024, rb"BD.{12}\0\x03", "an Apple disk image (HFS)"),
    (1024, rb"(?:H\+\0\x04|HX\0\x05)", "an Apple disk image (HFS)"),
    (1024, rb"\x10\x20\xf5\xf2|\xe2\xe1\xf5\xe0", "a Linux disk image"),
    (65600, rb"_BHRfS_M", "a Linux disk image"),
)
_LOCKED = (
    (0, rb"encrcdsa\0", "an encrypted macOS disk image"),
    (0, rb"LUKS\xba\xbe", "an encrypted Linux disk image"),
    (3, rb"-FVE-FS-", "an encrypted Windows disk image (BitLocker)"),
)
_HELP = ((0, rb"ITSF[\x02-\x04]\0\0\0", "a compiled help file"), (0, rb"\?_\x03\0", "a Windows help file"))
_TAILS = (
    (-512, rb"koly\0\0\0\x04", "a macOS disk image"),
    (-512, rb"conectix", "a virtual disk (VHD)"),
    (-511, rb"conectix", "a virtual disk (VHD)"),
    (-64, rb"bbis", "a MagicISO image"),
    (-12, rb"NER5\0\0\0\0", "a Nero CD image"),
    (-8, rb"NERO\0\0", "a Nero CD image"),
)
_LOCKED_TAILS = ((-8, rb"cdsaencr", "an encrypted macOS disk image"),)

Mark = tuple[int, bytes, Unopened]


def _marks(rows: Iterable[tuple[int, bytes, str]], kind: FileClass, *, encrypted: bool = False) -> list[Mark]:
    return [(at, mark, Unopened(words=words, kind=kind, encrypted=encrypted)) for at, mark, words in rows]


def _any(marks: Iterable[Mark], *, size: int = 0) -> re.Pattern[bytes]:
    """One pattern for all: most files bear none. The group that takes part is the place in the list, from 1."""
    return re.compile(
        rb"(?s)" + b"|".join(rb".{%d}(?:%b)()" % (at % size if size else at, mark) for at, mark, _ in marks)
    )


_FRONT = (
    *_marks(_ARCHIVES, FileClass.ARCHIVE),
    *_marks(_IMAGES, FileClass.DISK_IMAGE),
    *_marks(_LOCKED, FileClass.DISK_IMAGE, encrypted=True),
    *_marks(_HELP, FileClass.SCRIPT),
)
_BACK = (
    *_marks(_TAILS, FileClass.DISK_IMAGE),
    *_marks(_LOCKED_TAILS, FileClass.DISK_IMAGE, encrypted=True),
)
_ANY_FRONT = _any(_FRONT)
_ANY_BACK = _any(_BACK, size=_SECTOR)


def recognise(data: Buffer) -> Unopened | None:
    """What ``data`` is if it bears the mark of something that is not opened here, None if it does not."""
    found = _ANY_FRONT.match(data)
    if found and found.lastindex:
        return _FRONT[found.lastindex - 1][2]
    if len(data) < _SECTOR:
        return None
    found = _ANY_BACK.match(data[-_SECTOR:])
    if found and found.lastindex:
        return _BACK[found.lastindex - 1][2]
    if data[_SECTOR - 2 : _SECTOR] == b"\x55\xaa" and _is_partitioned(data):
        return Unopened(words="the image of a whole disk", kind=FileClass.DISK_IMAGE)
    return None


def _is_partitioned(data: Buffer) -> bool:
    """Whether the first sector holds a partition table, of which an entry begins in the file."""
    within = 0
    for at in range(_TABLE, _SECTOR - 2, 16):
        status, kind = data[at], data[at + 4]
        first, count = struct.unpack_from("<II", data, at + 8)
        if kind and status in (0, 0x80) and first and count:
            within += first * _SECTOR < len(data)
        elif kind or status or first or count:
            return False
    return within > 0
