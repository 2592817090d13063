"""Owns hostile cases in packed files: zip in all its lies, every archive that libarchive knows, disk images."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from functools import partial

import zstandard
from support.corpus import payloads
from support.corpus.case import DISK_IMAGE, ENCRYPTED, INSTALLER, PROGRAM, SCRIPT, STOPPED, Register
from support.corpus.packers import (
    ace,
    apple_disk,
    ar,
    arj,
    by_libarchive,
    cab,
    central,
    deb,
    end,
    fat_disk,
    lha,
    local,
    lzma_alone,
    rar4,
    rar5,
    rpm,
    seven_zip,
    tnef,
    udf,
    virtual_disk,
    zipped,
)
from support.corpus.shapes import TEXT, attached, file, letter, mail, multipart, packed, program

zips = Register("zip")
archives = Register("archive")
packed_mail = Register("packed-mail")

_EXE = payloads.windows_program()
_ONE = {"setup.exe": _EXE}


def _hidden_member() -> bytes:
    """A zip whose directory lists a text, while a program stands before it without being listed."""
    hidden = local(b"setup.exe", _EXE)
    shown = local(b"note.txt", b"hello")
    directory = central(b"note.txt", b"hello", len(hidden))
    return hidden + shown + directory + end(1, len(directory), len(hidden + shown))


def _names_differ() -> bytes:
    one = local(b"setup.exe", _EXE)
    directory = central(b"photo.jpg", _EXE, 0)
    return one + directory + end(1, len(directory), len(one))


def _batch_renamed(local_name: bytes, central_name: bytes) -> bytes:
    one = local(local_name, payloads.BATCH)
    directory = central(central_name, payloads.BATCH, 0)
    return one + directory + end(1, len(directory), len(one))


def _no_directory() -> bytes:
    return local(b"setup.exe", _EXE)


def _empty_directory() -> bytes:
    one = local(b"setup.exe", _EXE)
    return one + end(0, 0, len(one))


def _bad_offset() -> bytes:
    one = local(b"setup.exe", _EXE)
    directory = central(b"setup.exe", _EXE, 0)
    return one + directory + end(1, len(directory), 7)


def _offset_shifted() -> bytes:
    """Junk before the zip that its offsets do not count; unpackers add it."""
    one = local(b"setup.exe", _EXE)
    directory = central(b"setup.exe", _EXE, 0)
    return b"junk" * 50 + one + directory + end(1, len(directory), len(one))


def _unknown_method() -> bytes:
    one = local(b"setup.exe", _EXE, method=99)
    directory = central(b"setup.exe", _EXE, 0, method=99)
    return one + directory + end(1, len(directory), len(one))


def _flag_lies() -> bytes:
    """Marked as encrypted in the local header alone; unpackers that trust the directory unpack it."""
    one = local(b"setup.exe", _EXE, flags=1)
    directory = central(b"setup.exe", _EXE, 0)
    return one + directory + end(1, len(directory), len(one))


def _method_lies() -> bytes:
    """Deflated, but stored by the directory's word."""
    packer = zlib.compressobj(wbits=-15)
    deflated = packer.compress(_EXE) + packer.flush()
    head = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, zlib.crc32(_EXE), len(deflated), len(_EXE), 9, 0
    )
    one = head + b"setup.exe" + deflated
    directory = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, zlib.crc32(_EXE), len(deflated), len(_EXE), 9, 0, 0, 0, 0, 0, 0
    ) + b"setup.exe"  # fmt: skip
    return one + directory + end(1, len(directory), len(one))


def _encrypted(*, strong: bool = False) -> bytes:
    secret = zlib.compress(_EXE)
    one = local(b"setup.exe", secret, flags=1, method=99 if strong else 0)
    directory = central(b"setup.exe", secret, 0, flags=1, method=99 if strong else 0)
    return one + directory + end(1, len(directory), len(one))


def _nested(levels: int) -> bytes:
    packed, name = _EXE, "setup.exe"
    for level in range(levels):
        packed, name = zipped({name: packed}), f"level{level}.zip"
    return packed


def _bomb() -> bytes:
    """Ten layers of sixteen: more than anybody can unpack."""
    packed = zipped({"zero": bytes(4_000_000)})
    for _ in range(5):
        packed = zipped({f"{number}.zip": packed for number in range(16)})
    return packed


def _many_members() -> bytes:
    return zipped({f"{number}.txt": b"a" for number in range(3000)} | _ONE, method=zipfile.ZIP_STORED)


def _two_same_names() -> bytes:
    first, second = local(b"note.txt", b"hello"), local(b"note.txt", _EXE)
    directory = central(b"note.txt", b"hello", 0) + central(b"note.txt", _EXE, len(first))
    return first + second + directory + end(2, len(directory), len(first + second))


class _Pipe(io.BytesIO):
    """A stream that cannot be wound back: zipfile writes the sizes behind the data then."""

    def seekable(self) -> bool:
        return False

    def seek(self, place: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def _data_descriptor() -> bytes:
    written = _Pipe()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("setup.exe", _EXE)
    return written.getvalue()


for _name, _technique, _build, _found in (
    ("ordinary", "a program in a zip", partial(zipped, _ONE), PROGRAM),
    ("stored", "a program stored in a zip", partial(zipped, _ONE, method=zipfile.ZIP_STORED), PROGRAM),
    ("bzip2", "a program in a zip with bzip2", partial(zipped, _ONE, method=zipfile.ZIP_BZIP2), PROGRAM),
    ("lzma", "a program in a zip with LZMA", partial(zipped, _ONE, method=zipfile.ZIP_LZMA), PROGRAM),
    ("streamed", "sizes only behind the data", _data_descriptor, PROGRAM),
    ("hidden-member", "a member that the directory does not list", _hidden_member, PROGRAM),
    ("names-differ", "another name in the directory", _names_differ, PROGRAM),
    ("batch-local", "a batch file by the local name alone", partial(_batch_renamed, b"run.bat", b"run.txt"), SCRIPT),
    ("batch-central", "a batch file by the directory's name alone", partial(_batch_renamed, b"run.txt", b"run.bat"), SCRIPT),
    ("no-directory", "no directory at all", _no_directory, PROGRAM),
    ("empty-directory", "an empty directory", _empty_directory, PROGRAM),
    ("bad-offset", "a directory at another place than told", _bad_offset, PROGRAM),
    ("offset-shifted", "junk before the zip", _offset_shifted, PROGRAM),
    ("unknown-method", "a compression nobody knows", _unknown_method, PROGRAM | STOPPED | ENCRYPTED),
    ("flag-lies", "encrypted by one header, in clear by the other", _flag_lies, PROGRAM),
    ("method-lies", "deflated by one header, stored by the other", _method_lies, PROGRAM),
    ("encrypted", "an encrypted member, its name in clear", _encrypted, PROGRAM | SCRIPT | INSTALLER),
    ("encrypted-aes", "a member encrypted with AES", partial(_encrypted, strong=True), PROGRAM | ENCRYPTED),
    ("nested-3", "three zips inside one another", partial(_nested, 3), PROGRAM),
    ("nested-60", "sixty zips inside one another", partial(_nested, 60), PROGRAM | STOPPED),
    ("bomb", "a zip bomb", _bomb, STOPPED),
    ("many-members", "a program behind three thousand members", _many_members, PROGRAM | STOPPED),
    ("same-names", "two members of one name", _two_same_names, PROGRAM),
    ("absolute", "a member with a path to a system folder", partial(zipped, {"../../Startup/run.bat": payloads.BATCH}), SCRIPT),
    ("trailing-dot", "a member with a full stop behind its name", partial(zipped, {"run.bat.": payloads.BATCH}), SCRIPT),
    ("override", "a member with a right-to-left override", partial(zipped, {"holiday\u202egpj.bat": payloads.BATCH}), SCRIPT),
    ("backslash", "a member with backslashes", partial(zipped, {"folder\\run.bat": payloads.BATCH}), SCRIPT),
    ("folder-name", "a program named like a folder", partial(zipped, {"setup/": b"", "setup/a": _EXE}), PROGRAM),
    ("cut", "a zip whose end is cut off", lambda: zipped(_ONE)[:-60], PROGRAM),
    ("cut-half", "half a zip", lambda: zipped(_ONE, method=zipfile.ZIP_STORED)[:9000], PROGRAM),
    ("span-mark", "the mark of a split zip before it", lambda: b"PK00" + zipped(_ONE), PROGRAM),
):  # fmt: skip
    zips.add(_name, _technique, partial(packed, _build, b"files.zip", b"application/zip"), _found)


@zips.case("a zip named as a text", PROGRAM)
def as_text() -> bytes:
    return attached(zipped(_ONE), b"notes.txt", b"text/plain")


@zips.case("a zip named as a RAR", PROGRAM)
def as_rar() -> bytes:
    return attached(zipped(_ONE), b"files.rar")


@zips.case("a zip without a name", PROGRAM)
def nameless() -> bytes:
    return letter(file(zipped(_ONE), b""))


def _tar_sparse() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in (("run.bat", tarfile.SYMTYPE), ("setup.exe", tarfile.REGTYPE)):
            member = tarfile.TarInfo("a" * 120 + "/" + name)
            member.type, member.linkname = kind, "setup.exe"
            member.size = len(_EXE) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(_EXE))
    return packed.getvalue()


for _name, _technique, _file, _build, _found in (
    ("7z", "7z", b"files.7z", partial(seven_zip, "setup.exe", _EXE), PROGRAM),
    ("7z-libarchive", "7z with LZMA", b"files.7z", partial(by_libarchive, _ONE, "7zip"), PROGRAM),
    ("7z-encrypted", "7z, its content encrypted", b"files.7z", partial(seven_zip, "setup.exe", _EXE, encrypted=True), PROGRAM),
    ("7z-headers", "7z, its names encrypted", b"files.7z", partial(seven_zip, "setup.exe", _EXE, headers_encrypted=True), ENCRYPTED),
    ("7z-renamed", "7z named as a photo", b"photo.jpg", partial(seven_zip, "setup.exe", _EXE), PROGRAM),
    ("7z-cut", "half a 7z", b"files.7z", lambda: seven_zip("setup.exe", _EXE)[:9000], STOPPED | PROGRAM),
    ("rar4", "RAR 4", b"files.rar", partial(rar4, b"setup.exe", _EXE), PROGRAM),
    ("rar4-encrypted", "RAR 4, its content encrypted", b"files.rar", partial(rar4, b"setup.exe", _EXE, encrypted=True), PROGRAM),
    ("rar4-headers", "RAR 4, its names encrypted", b"files.rar", partial(rar4, b"setup.exe", _EXE, headers_encrypted=True), ENCRYPTED),
    ("rar5", "RAR 5", b"files.rar", partial(rar5, b"setup.exe", _EXE), PROGRAM),
    ("rar5-encrypted", "RAR 5, its content encrypted", b"files.rar", partial(rar5, b"setup.exe", _EXE, encrypted=True), PROGRAM),
    ("rar5-headers", "RAR 5, its names encrypted", b"files.rar", partial(rar5, b"setup.exe", _EXE, headers_encrypted=True), ENCRYPTED),
    ("rar-renamed", "RAR named .zip", b"files.zip", partial(rar5, b"setup.exe", _EXE), PROGRAM),
    ("cab", "a Windows cabinet", b"files.cab", partial(cab, b"setup.exe", _EXE), PROGRAM),
    ("cab-renamed", "a Windows cabinet named .dat", b"files.dat", partial(cab, b"setup.exe", _EXE), PROGRAM),
    ("lha", "LHA", b"files.lzh", partial(lha, b"setup.exe", _EXE), PROGRAM),
    ("lha-renamed", "LHA named .dat", b"files.dat", partial(lha, b"setup.exe", _EXE), PROGRAM),
    ("arj", "ARJ, which no library here opens", b"files.arj", partial(arj, b"setup.exe", _EXE), PROGRAM | STOPPED),
    ("arj-renamed", "ARJ named .dat", b"files.dat", partial(arj, b"setup.exe", _EXE), PROGRAM | STOPPED),
    ("ace", "ACE, which no library here opens", b"files.ace", partial(ace, _EXE), STOPPED | PROGRAM),
    ("zoo", "ZOO, which no library here opens", b"files.zoo", lambda: b"ZOO 2.10 Archive.\x1a\0\0\xdc\xa7\xc4\xfd" + bytes(80) + _EXE, STOPPED | PROGRAM),
    ("zpaq", "ZPAQ, which no library here opens", b"files.zpaq", lambda: b"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3zPQ\x01\x01" + bytes(99), STOPPED | PROGRAM),
    ("arc", "ARC, which no library here opens", b"files.arc", lambda: b"\x1a\x08SETUP.EXE\0\0\0\0" + bytes(16) + _EXE, STOPPED | PROGRAM),
    ("alz", "ALZip, which no library here opens", b"files.alz", lambda: b"ALZ\x01\x0a\0\0\0BLZ\x01" + bytes(80), STOPPED | PROGRAM),
    ("xar", "a Mac package", b"tool.pkg", partial(by_libarchive, _ONE, "xar"), PROGRAM | INSTALLER),
    ("xar-renamed", "a Mac package named .dat", b"tool.dat", partial(by_libarchive, _ONE, "xar"), PROGRAM | INSTALLER),
    ("tar", "tar", b"files.tar", partial(by_libarchive, _ONE, "ustar"), PROGRAM),
    ("tar-pax", "tar in the pax form", b"files.tar", partial(by_libarchive, _ONE, "pax"), PROGRAM),
    ("tar-gnu", "tar with long names and a link", b"files.tar", _tar_sparse, PROGRAM),
    ("tar-v7", "the oldest tar, which has no mark", b"files.tar", partial(by_libarchive, _ONE, "v7tar"), PROGRAM),
    ("tar-v7-renamed", "the oldest tar named .dat", b"files.dat", partial(by_libarchive, _ONE, "v7tar"), PROGRAM),
    ("cpio", "cpio", b"files.cpio", partial(by_libarchive, _ONE, "cpio"), PROGRAM),
    ("cpio-newc", "cpio in the new form, named .dat", b"files.dat", partial(by_libarchive, _ONE, "cpio_newc"), PROGRAM),
    ("shar", "a shell archive", b"files.shar", partial(by_libarchive, {"run.sh": payloads.SHELL}, "shar"), SCRIPT),
    ("ar", "a Unix archive", b"files.a", lambda: ar([(b"setup.exe/", _EXE)]), PROGRAM),
    ("deb", "a Debian package", b"tool.deb", partial(deb, payloads.linux_program()), INSTALLER),
    ("deb-renamed", "a Debian package named .dat", b"tool.dat", partial(deb, payloads.linux_program()), INSTALLER),
    ("rpm", "an RPM package", b"tool.rpm", partial(rpm, payloads.linux_program()), INSTALLER),
    ("rpm-renamed", "an RPM package named .dat", b"tool.dat", partial(rpm, payloads.linux_program()), INSTALLER),
    ("warc", "a web archive with a program", b"files.warc", partial(by_libarchive, _ONE, "warc"), PROGRAM | STOPPED),
    ("iso", "a disk image", b"disk.iso", partial(by_libarchive, _ONE, "iso9660"), DISK_IMAGE | PROGRAM),
    ("iso-renamed", "a disk image named .dat", b"disk.dat", partial(by_libarchive, _ONE, "iso9660"), DISK_IMAGE | PROGRAM),
    ("udf", "a disk image in UDF", b"disk.img", partial(udf, "setup.exe", _EXE), DISK_IMAGE | PROGRAM),
    ("udf-renamed", "a disk image in UDF named .dat", b"disk.dat", partial(udf, "setup.exe", _EXE), DISK_IMAGE | PROGRAM),
    ("vhd", "a virtual disk", b"disk.vhd", partial(virtual_disk, _EXE), DISK_IMAGE),
    ("vhd-renamed", "a virtual disk named .dat", b"disk.dat", partial(virtual_disk, _EXE), DISK_IMAGE),
    ("vhdx", "a virtual disk of the newer kind, named .dat", b"disk.dat", lambda: b"vhdxfile" + bytes(65536), DISK_IMAGE),
    ("vmdk", "a disk of VMware, named .dat", b"disk.dat", lambda: b"KDMV\x01\0\0\0\x03\0\0\0" + bytes(512), DISK_IMAGE),
    ("qcow", "a disk of QEMU, named .dat", b"disk.dat", lambda: b"QFI\xfb\0\0\0\x03" + bytes(512), DISK_IMAGE),
    ("dmg", "a Mac disk image", b"disk.dmg", partial(apple_disk, payloads.mac_program()), DISK_IMAGE),
    ("dmg-renamed", "a Mac disk image named .dat", b"disk.dat", partial(apple_disk, payloads.mac_program()), DISK_IMAGE),
    ("fat", "a floppy disk named .dat", b"disk.dat", partial(fat_disk, b"SETUP   EXE", _EXE), DISK_IMAGE | PROGRAM),
    ("wim", "a Windows image named .dat", b"disk.dat", lambda: b"MSWIM\0\0\0\xd0\0\0\0\0\x0d\x01\0" + bytes(300), DISK_IMAGE | STOPPED),
    ("squashfs", "a Linux disk image named .dat", b"disk.dat", lambda: b"hsqs" + struct.pack("<IIIIHHHHHH", 1, 0, 131072, 0, 1, 17, 0, 1, 4, 0) + bytes(300), DISK_IMAGE | STOPPED),
    ("gz", "gzip", b"setup.exe.gz", lambda: gzip.compress(_EXE, mtime=0), PROGRAM),
    ("gz-two", "two gzip streams in one file, the program in the second", b"notes.gz", lambda: gzip.compress(b"", mtime=0) + gzip.compress(_EXE, mtime=0), PROGRAM),
    ("gz-batch", "gzip of a batch file, known by its stored name", b"notes.gz", lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"run.bat\0" + gzip.compress(payloads.BATCH, mtime=0)[10:], SCRIPT),
    ("gz-renamed", "gzip named .txt", b"notes.txt", lambda: gzip.compress(_EXE, mtime=0), PROGRAM),
    ("gz-cut", "gzip cut in the middle", b"notes.gz", lambda: gzip.compress(_EXE, mtime=0)[:3000], PROGRAM | STOPPED),
    ("bz2", "bzip2", b"setup.bz2", lambda: bz2.compress(_EXE), PROGRAM),
    ("xz", "xz", b"setup.xz", lambda: lzma.compress(_EXE), PROGRAM),
    ("lzma", "the old LZMA program", b"setup.lzma", partial(lzma_alone, _EXE), PROGRAM),
    ("zst", "zstd", b"setup.zst", lambda: zstandard.compress(_EXE), PROGRAM),
    ("lz4", "lz4", b"setup.lz4", partial(by_libarchive, _ONE, "raw", "lz4"), PROGRAM | STOPPED),
    ("compress", "the oldest packer, compress", b"setup.z", partial(by_libarchive, _ONE, "raw", "compress"), PROGRAM),
    ("tgz", "tar in gzip", b"files.tgz", partial(by_libarchive, _ONE, "ustar", "gzip"), PROGRAM),
    ("tbz", "tar in bzip2", b"files.tar.bz2", partial(by_libarchive, _ONE, "ustar", "bzip2"), PROGRAM),
    ("txz", "tar in xz", b"files.tar.xz", partial(by_libarchive, _ONE, "ustar", "xz"), PROGRAM),
    ("tzst", "tar in zstd", b"files.tar.zst", partial(by_libarchive, _ONE, "ustar", "zstd"), PROGRAM),
    ("tgz-in-zip", "tar in gzip in a zip", b"files.zip", lambda: zipped({"a.tgz": by_libarchive(_ONE, "ustar", "gzip")}), PROGRAM),
    ("all", "7z in RAR in cab in tar in zip", b"files.zip", lambda: zipped({"a.tar": by_libarchive({"b.cab": cab(b"c.rar", rar5(b"d.7z", seven_zip("setup.exe", _EXE)))}, "ustar")}), PROGRAM),
    ("uu", "a file in uuencode inside a zip", b"files.zip", lambda: zipped({"a.uue": by_libarchive(_ONE, "raw", "uuencode")}), PROGRAM | STOPPED),
    ("base64", "a certificate's dress around a program", b"school.cer", lambda: b"-----BEGIN CERTIFICATE-----\r\n" + by_libarchive(_ONE, "raw", "b64encode").split(b"\n", 1)[1] + b"-----END CERTIFICATE-----\r\n", PROGRAM | SCRIPT | STOPPED),
    ("zip-in-iso", "a zip inside a disk image", b"disk.iso", lambda: by_libarchive({"a.zip": zipped(_ONE)}, "iso9660"), DISK_IMAGE | PROGRAM),
    ("split", "the first part of a split archive", b"files.7z.001", lambda: seven_zip("setup.exe", _EXE)[:9000], STOPPED | PROGRAM),
    ("split-part", "a later part of a split archive, which has no mark", b"files.7z.002", lambda: seven_zip("setup.exe", _EXE)[9000:], STOPPED | PROGRAM),
    ("split-zip", "a part of a split zip", b"files.z01", lambda: zipped(_ONE, method=zipfile.ZIP_STORED)[5000:9000], STOPPED | PROGRAM),
    ("msi-in-zip", "an installer known by its ending, in a zip", b"files.zip", lambda: zipped({"setup.msi": b"\xd0\xcf\x11\xe0" + bytes(600)}), INSTALLER | STOPPED),
):  # fmt: skip
    archives.add(_name, _technique, partial(packed, _build, _file), _found)

for _name, _technique, _file, _kind, _build, _found in (
    ("tnef", "winmail.dat with a program", b"winmail.dat", b"application/ms-tnef", partial(tnef, b"setup.exe", _EXE), PROGRAM),
    ("tnef-octets", "winmail.dat without its type", b"winmail.dat", b"application/octet-stream", partial(tnef, b"setup.exe", _EXE), PROGRAM),
    ("tnef-renamed", "winmail.dat under another name", b"att00001.dat", b"application/octet-stream", partial(tnef, b"photo.jpg", _EXE), PROGRAM),
    ("tnef-batch", "winmail.dat with a batch file", b"winmail.dat", b"application/ms-tnef", partial(tnef, b"run.bat", payloads.BATCH), SCRIPT),
    ("tnef-zip", "winmail.dat with a zip", b"winmail.dat", b"application/ms-tnef", lambda: tnef(b"files.zip", zipped(_ONE)), PROGRAM),
    ("tnef-tnef", "winmail.dat in winmail.dat", b"winmail.dat", b"application/ms-tnef", lambda: tnef(b"winmail.dat", tnef(b"setup.exe", _EXE)), PROGRAM),
    ("tnef-cut", "half of winmail.dat", b"winmail.dat", b"application/ms-tnef", lambda: tnef(b"setup.exe", _EXE)[:6000], PROGRAM | STOPPED),
    ("eml-in-zip", "a letter in a zip", b"files.zip", b"application/zip", lambda: zipped({"letter.eml": mail(multipart(TEXT, program()))}), PROGRAM),
    ("mbox", "a mailbox with two letters", b"mail.mbox", b"application/mbox", lambda: b"From a Mon Nov  2 09:00:00 2026\n" + letter(file(b"a", b"a.txt")) + b"\nFrom b Mon Nov  2 09:00:00 2026\n" + letter(program()), PROGRAM),
    ("mbox-unnamed", "a mailbox without a name that says so", b"mail.dat", b"application/octet-stream", lambda: b"From a Mon Nov  2 09:00:00 2026\n" + letter(program()), PROGRAM | STOPPED),
    ("emlx", "a letter as Apple Mail stores it", b"letter.emlx", b"application/octet-stream", lambda: b"%d\n" % len(letter(program())) + letter(program()), PROGRAM),
):  # fmt: skip
    packed_mail.add(_name, _technique, partial(packed, _build, _file, _kind), _found)
