"""Owns single packed files: gzip, bzip2, xz, lzma, zstd, lz4, lzip, compress; what is inside is examined."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator

import zstandard

from gatepost_milter.inspection.containers import archived
from gatepost_milter.inspection.containers.walk import Family, File, Walk, feed
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

_WINDOW = 1 << 27


def _gzip(data: Buffer) -> Iterator[bytes]:
    position = 0
    while data[position : position + 2] == b"\x1f\x8b":
        position = yield from feed(zlib.decompressobj(31), data, start=position)


def _bzip2(data: Buffer) -> Iterator[bytes]:
    position = 0
    while data[position : position + 3] == b"BZh":
        position = yield from feed(bz2.BZ2Decompressor(), data, start=position)


def _xz(data: Buffer) -> Iterator[bytes]:
    yield from feed(lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_WINDOW), data)


def _lzma(data: Buffer) -> Iterator[bytes]:
    yield from feed(lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_WINDOW), data)


def _past_skipped(data: Buffer) -> int:
    """Where the first frame begins that zstd (RFC 8878 section 3.1.2) and lz4 do not skip."""
    position = 0
    while _SKIPPED.match(data, position):
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
    return position


def _zstd(data: Buffer) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        bytes(data), read_across_frames=True
    )
    while piece := reader.read(1 << 18):
        yield piece


def _by_libarchive(name: str) -> Callable[[Buffer], Iterator[bytes]]:
    return lambda data: archived.raw(data, name)


_KINDS: tuple[tuple[bytes, str, Callable[[Buffer], Iterator[bytes]]], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", _bzip2),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"]\0\0", "lzma", _lzma),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x04\x22\x4d\x18", "lz4", _by_libarchive("lz4")),
    (b"\x02\x21\x4c\x18", "lz4", _by_libarchive("lz4")),
    (b"LZIP\x01", "lzip", _by_libarchive("lzip")),
    (b"\x1f\x9d", "compress", _by_libarchive("compress")),
)
# LZMA alone bears no mark; its first bytes only make it likely (LZMA specification, section on the file format).
_BARE_LZMA = (b"", "lzma", _lzma)
_LZMA_HEAD = re.compile(rb"(?s)[\0-\xe0].{4}(?:\xff{8}|.{5}\0{3})")
_LZMA_NAMES = frozenset({"lzma", "tlz"})
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")  # three letters alone begin words
_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_SHORT = {
    **dict.fromkeys(("tgz", "taz", "tbz", "tbz2", "txz", "tzst", "tlz"), "tar"),
    "svgz": "svg",
    "emz": "emf",
    "wmz": "wmf",
}
_LONG = frozenset({"gz", "bz2", "bz", "xz", "lzma", "zst", "lz4", "lz", "z"})


def _kind(file: File) -> tuple[bytes, str, Callable[[Buffer], Iterator[bytes]]] | None:
    start = _past_skipped(file.data)
    head = bytes(file.data[start : start + 10])
    for kind in _KINDS:
        if head.startswith(kind[0]) and (kind[1] != "bzip2" or _BZIP2.match(head)):
            return kind
    return _BARE_LZMA if file.extensions() & _LZMA_NAMES and _LZMA_HEAD.match(file.data) else None


def knows(file: File) -> bool:
    """The mark of a packer at the start."""
    return _kind(file) is not None


def open_(walk: Walk, file: File) -> None:
    """Hand over the one file inside, under the names it may be given."""
    kind = _kind(file)
    if kind is None:
        return
    _, name, unpack = kind
    if name == "lzma" and "lzma" not in file.mime and not file.extensions() & _LZMA_NAMES:
        return  # three bytes are too weak a mark to call anything a packed file
    if not file.extensions() & {"svgz", "emz", "wmz"}:
        file.mark(FileClass.ARCHIVE, f"{name} archive")
    start = _past_skipped(file.data)
    walk.unpack(file, unpack(file.data[start:] if start else file.data), raw_names=_names(file, name))


def _names(file: File, kind: str) -> list[str]:
    names = []
    for each in file.names or ("unnamed",):
        stem, _, extension = each.rpartition(".")
        extension = extension.lower()
        if stem and extension in _SHORT:
            names.append(f"{stem}.{_SHORT[extension]}")
        elif stem and extension in _LONG:
            names.append(stem)
        else:
            names.append(each)
    flags = file.data[3] if kind == "gzip" and len(file.data) > 18 else 0
    if flags & 0x08:  # RFC 1952 section 2.3.1: the original name
        at = 12 + int.from_bytes(file.data[10:12], "little") if flags & 0x04 else 10
        end = file.data.find(b"\0", at, at + 1024)
        if end > at:
            names.append(bytes(file.data[at:end]).decode("utf-8", "replace"))
    return list(dict.fromkeys(names))


FAMILY = Family(name="packed file", knows=knows, open=open_)
