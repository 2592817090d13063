"""Owns packed files of the corpora: what libarchive and zipfile write, and by hand what they do not."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

import libarchive.write
import pycdlib
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip of ``members``, the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 2, 9, 0, 0)), content, compress_type=method)
    return packed.getvalue()


def local(name: bytes, content: bytes, *, flags: int = 0, method: int = 0, size: int | None = None) -> bytes:
    """A zip's local header and stored content. ``size`` is what the header claims, if not the truth."""
    claimed = len(content) if size is None else size
    head = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, 0, zlib.crc32(content), claimed, claimed, len(name), 0
    )
    return head + name + content


def central(name: bytes, content: bytes, offset: int, *, flags: int = 0, method: int = 0) -> bytes:
    """A zip's directory entry for what ``local`` wrote at ``offset``."""
    return (
        struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, flags, method, 0, 0, zlib.crc32(content),
                    len(content), len(content), len(name), 0, 0, 0, 0, 0, offset)
        + name
    )  # fmt: skip


def end(count: int, size: int, offset: int) -> bytes:
    """The record at the end of a zip."""
    return struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size, offset, 0)


def by_libarchive(
    members: Mapping[str, bytes], format_name: str, filter_name: str | None = None, options: str = ""
) -> bytes:
    """An archive in any format that libarchive writes."""
    pieces: list[bytes] = []

    def take(piece: bytes) -> int:
        pieces.append(bytes(piece))
        return len(piece)

    with libarchive.write.custom_writer(take, format_name, filter_name, options=options) as archive:
        for name, content in members.items():
            archive.add_file_from_memory(name, len(content), content, mtime=1793610000)
    return b"".join(pieces)


def udf(name: str, content: bytes) -> bytes:
    """A disk image in UDF and ISO 9660 with Joliet names."""
    image = pycdlib.PyCdlib()
    image.new(udf="2.60", joliet=3)
    image.add_fp(io.BytesIO(content), len(content), "/FILE.EXE;1", udf_path=f"/{name}", joliet_path=f"/{name}")
    written = io.BytesIO()
    image.write_fp(written)
    image.close()
    return written.getvalue()


def ar(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A Unix ar archive."""
    packed = b"!<arch>\n"
    for name, content in members:
        head = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(content))
        packed += head + content + b"\n" * (len(content) % 2)
    return packed


def deb(content: bytes, name: str = "./usr/bin/tool") -> bytes:
    """A Debian package that installs one file."""
    control = by_libarchive({"./control": b"Package: tool\nVersion: 1\nArchitecture: all\n"}, "ustar", "gzip")
    data = by_libarchive({name: content}, "ustar", "xz")
    return ar([(b"debian-binary", b"2.0\n"), (b"control.tar.gz", control), (b"data.tar.xz", data)])


def rpm(content: bytes) -> bytes:
    """An RPM package: lead, empty signature header, header, compressed cpio."""
    lead = struct.pack(">IBBHH66sHH16x", 0xEDABEEDB, 3, 0, 0, 1, b"tool-1-1", 1, 5)
    empty = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 0, 0)
    index = struct.pack(">IIII", 1000, 6, 0, 1)
    head = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 1, 8) + index + b"tool\0\0\0\0"
    return lead + empty + head + gzip.compress(by_libarchive({"./usr/bin/tool": content}, "cpio_newc"), mtime=0)


def cab(name: bytes, content: bytes) -> bytes:
    """A Microsoft cabinet with one stored file (MS-CAB)."""
    blocks = [content[at : at + 32768] for at in range(0, len(content), 32768)]
    data = b"".join(struct.pack("<IHH", 0, len(each), len(each)) + each for each in blocks)
    files = struct.pack("<IIHHHH", len(content), 0, 0, 0x5D62, 0x4800, 0x20) + name + b"\0"
    first = 36 + 8
    total = first + len(files) + len(data)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, total, 0, first, 0, 3, 1, 1, 1, 0, 0x1234, 0)
    return head + struct.pack("<IHH", first + len(files), len(blocks), 0) + files + data


def _rar4_block(kind: int, flags: int, fields: bytes, extra: bytes = b"") -> bytes:
    body = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
    return struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body + extra


def rar4(name: bytes, content: bytes, *, encrypted: bool = False, headers_encrypted: bool = False) -> bytes:
    """A RAR 4 archive with one stored file."""
    mark = b"Rar!\x1a\x07\0"
    if headers_encrypted:
        return mark + _rar4_block(0x73, 0x80, bytes(6)) + bytes(8) + hashlib.sha256(content).digest() * 40
    fields = struct.pack(
        "<IIBIIBBHI", len(content), len(content), 2, zlib.crc32(content), 0x5D624800, 29, 0x30, len(name), 0x20
    )
    flags = 0x8000 | (0x404 if encrypted else 0)
    salt = b"saltsalt" if encrypted else b""
    one = _rar4_block(0x74, flags, fields + name + salt, content)
    return mark + _rar4_block(0x73, 0, bytes(6)) + one + _rar4_block(0x7B, 0x4000, b"")


def _vint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _rar5_block(fields: bytes) -> bytes:
    body = _vint(len(fields)) + fields
    return struct.pack("<I", zlib.crc32(body)) + body


def rar5(name: bytes, content: bytes, *, encrypted: bool = False, headers_encrypted: bool = False) -> bytes:
    """A RAR 5 archive with one stored file."""
    mark = b"Rar!\x1a\x07\x01\0"
    if headers_encrypted:
        fields = _vint(4) + _vint(0) + _vint(0) + _vint(0) + bytes([15]) + b"salt" * 4
        return mark + _rar5_block(fields) + hashlib.sha256(content).digest() * 40
    extra = b""
    if encrypted:
        record = _vint(1) + _vint(0) + _vint(0) + bytes([15]) + b"salt" * 4 + b"initvect" * 2
        extra = _vint(len(record)) + record
    head = _vint(2) + _vint(3 if extra else 2) + (_vint(len(extra)) if extra else b"") + _vint(len(content))
    head += _vint(4) + _vint(len(content)) + _vint(0x20) + struct.pack("<I", zlib.crc32(content))
    head += _vint(0) + _vint(0) + _vint(len(name)) + name + extra
    main = _rar5_block(_vint(1) + _vint(0) + _vint(0))
    return mark + main + _rar5_block(head) + content + _rar5_block(_vint(5) + _vint(0) + _vint(0))


def _7z_number(value: int) -> bytes:
    """A number of the 7z format; what is here is below 2**28."""
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return bytes([0x80 | value >> 8, value & 0xFF])
    return bytes([0xE0 | value >> 24]) + struct.pack("<I", value)[:3]


def _7z_streams(offset: int, packed: int, sizes: list[int], coders: bytes, crc: int) -> bytes:
    info = b"\x06" + _7z_number(offset) + b"\x01\x09" + _7z_number(packed) + b"\0"
    info += b"\x07\x0b\x01\0" + coders + b"\x0c" + b"".join(map(_7z_number, sizes))
    return info + b"\x0a\x01" + struct.pack("<I", crc) + b"\0"


_COPY = b"\x01\x01\0"


def seven_zip(name: str, content: bytes, *, encrypted: bool = False, headers_encrypted: bool = False) -> bytes:
    """A 7z archive with one stored file; its content, and its names too, may be encrypted with AES."""
    body, coders = _7z_packed(content, encrypted or headers_encrypted)
    streams = _7z_streams(0, len(body), [len(content)], coders, zlib.crc32(content)) + b"\x08\0"
    spelt = b"\0" + name.encode("utf-16-le") + b"\0\0"
    files = b"\x05\x01\x11" + _7z_number(len(spelt)) + spelt + b"\0"
    header = b"\x01\x04" + streams + b"\0" + files + b"\0"
    packed = body
    if headers_encrypted:
        hidden, hidden_coders = _7z_packed(header, True)
        packed += hidden
        header = (
            b"\x17" + _7z_streams(len(body), len(hidden), [len(header)], hidden_coders, zlib.crc32(header)) + b"\0"
        )
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", zlib.crc32(start)) + start + packed + header


def _7z_packed(content: bytes, encrypted: bool) -> tuple[bytes, bytes]:
    if not encrypted:
        return content, _COPY
    password = "school".encode("utf-16-le")
    rounds = 1 << 6
    key = hashlib.sha256(b"".join(password + struct.pack("<Q", each) for each in range(rounds))).digest()
    vector = b"0123456789abcdef"
    cipher = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    sealed = cipher.update(content + bytes(-len(content) % 16)) + cipher.finalize()
    return sealed, b"\x01\x24\x06\xf1\x07\x01\x12" + bytes([6 | 0x40, 0x0F]) + vector


def lha(name: bytes, content: bytes) -> bytes:
    """An LHA archive with one stored file (level 0)."""
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    body = b"-lh0-" + struct.pack("<IIIBBB", len(content), len(content), 0x5D624800, 0x20, 0, len(name))
    body += name + struct.pack("<H", crc)
    return bytes([len(body), sum(body) & 0xFF]) + body + content + b"\0"


def arj(name: bytes, content: bytes) -> bytes:
    """An ARJ archive with one stored file."""

    def block(fields: bytes) -> bytes:
        return (
            b"\x60\xea" + struct.pack("<H", len(fields)) + fields + struct.pack("<I", zlib.crc32(fields)) + b"\0\0"
        )

    main = struct.pack("<BBBBBBBBIIIIHHBB", 30, 11, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0) + b"a.arj\0\0"
    one = struct.pack("<BBBBBBBBIIIIHHBB", 30, 11, 1, 0, 0, 0, 0, 0, 0, len(content), len(content),
                      zlib.crc32(content), 0, 0x20, 0, 0) + name + b"\0\0"  # fmt: skip
    return block(main) + block(one) + content + b"\x60\xea\0\0"


def ace(content: bytes) -> bytes:
    """What an ACE archive begins with; no free program reads the rest."""
    return b"\x12\x34\x31\0\0\0\x90**ACE**\x14\x14\x02\0" + bytes(32) + hashlib.sha256(content).digest() * 30


def virtual_disk(content: bytes) -> bytes:
    """A fixed VHD: a raw disk with the program somewhere in it, and the footer."""
    footer = struct.pack(
        ">8sIIQI4sI4sQQ",
        b"conectix",
        2,
        0x10000,
        0xFFFFFFFFFFFFFFFF,
        0,
        b"win ",
        0xA0000,
        b"Wi2k",
        1 << 20,
        1 << 20,
    )
    return (bytes(4096) + content).ljust(1 << 20, b"\0") + footer.ljust(512, b"\0")


def apple_disk(content: bytes) -> bytes:
    """A dmg: the disk raw, and the trailer that begins with koly."""
    return (bytes(4096) + content).ljust(1 << 18, b"\0") + (b"koly" + struct.pack(">II", 4, 512)).ljust(512, b"\0")


def fat_disk(name: bytes, content: bytes) -> bytes:
    """A floppy disk image with a FAT12 file system and one file of at most 30 sectors."""
    boot = b"\xeb\x3c\x90MSDOS5.0" + struct.pack("<HBHBHHBHHHII", 512, 1, 1, 2, 224, 2880, 0xF0, 9, 18, 2, 0, 0)
    boot += b"\0\0\x29\0\0\0\0NO NAME    FAT12   "
    count = -(-len(content) // 512)
    entries = [0xFF0, 0xFFF, *range(3, 2 + count), 0xFFF]
    entries += [0] * (len(entries) % 2)
    table = b"".join(
        bytes([low & 0xFF, low >> 8 | (high & 15) << 4, high >> 4])
        for low, high in zip(entries[::2], entries[1::2], strict=True)
    ).ljust(9 * 512, b"\0")
    root = (name + b"\x20" + bytes(14) + struct.pack("<HI", 2, len(content))).ljust(14 * 512, b"\0")
    disk = boot.ljust(510, b"\0") + b"\x55\xaa" + table * 2 + root + content
    return disk.ljust(1_474_560, b"\0")


def lzma_alone(content: bytes) -> bytes:
    """A single file packed by the old LZMA program."""
    return lzma.compress(content, format=lzma.FORMAT_ALONE)


def tnef(name: bytes, content: bytes, *, message_class: bytes = b"IPM.Microsoft Mail.Note\0") -> bytes:
    """winmail.dat with one attachment (MS-OXTNEF)."""

    def attribute(level: int, code: int, value: bytes) -> bytes:
        return struct.pack("<BII", level, code, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)

    packed = struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x00089006, struct.pack("<I", 0x00010000))
    packed += attribute(1, 0x00078008, message_class) + attribute(
        2, 0x00069002, struct.pack("<HIHHII", 1, 0, 16, 16, 0, 0)
    )
    return packed + attribute(2, 0x00018010, name + b"\0") + attribute(2, 0x0006800F, content)
