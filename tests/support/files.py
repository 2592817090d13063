"""Real files for tests: programs, zips and mails, built here so that no binary lies in the tree."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path


def windows_program(size: int = 2048) -> bytes:
    """A small, well-formed PE32+ program: DOS stub, PE header, one section."""
    stub = b"MZ" + bytes(58) + struct.pack("<I", 128) + b"\x0e\x1f\xba\x0e\x00\xb4\x09\xcd\x21\xb8\x01\x4c\xcd\x21"
    stub = stub.ljust(128, b"\0")
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 512, 0, 0, 0x1000, 0x1000).ljust(240, b"\0")
    section = b".text\0\0\0" + struct.pack("<IIIIIIHHI", 512, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    return (stub + coff + optional + section).ljust(size, b"\xcc")


def linux_program() -> bytes:
    """A program of this machine."""
    return Path("/bin/true").read_bytes()


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of ``members``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return packed.getvalue()


def noise(size: int, seed: int = 1) -> bytes:
    """``size`` bytes that no packer shortens, the same for the same seed."""
    return random.Random(seed).randbytes(size)


_FREE, _END = 0xFFFFFFFF, 0xFFFFFFFE


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (MS-CFB) of ``streams``, named by path: the folders are made as needed."""
    nodes: dict[str, bytes | None] = {}
    for path, stream in streams.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            nodes.setdefault("/".join(parts[:depth]), None)
        nodes[path] = stream
    small, mini_table, places = _chained({p: c for p, c in nodes.items() if c and len(c) < 4096}, 64)
    large = {path: content for path, content in nodes.items() if content and len(content) >= 4096}
    mini_sectors = struct.pack(f"<{len(mini_table)}I", *mini_table)
    mini_sectors += b"\xff" * (-len(mini_sectors) % 512)
    sectors, table, large_places = _chained(large | {"": small, "mini table": mini_sectors}, 512)
    places |= large_places
    directory = _directory(nodes, places, len(small))
    first = len(table)
    table += [*range(first + 1, first + len(directory) // 512), _END]
    tables = -(-(len(table) + 4) // 128)
    place = len(table)
    table += [0xFFFFFFFD] * tables
    table += [_FREE] * (tables * 128 - len(table))
    numbers = (
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        tables,
        first,
        0,
        4096,
        places["mini table"],
        len(mini_sectors) // 512,
        _END,
        0,
    )
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6xIIIIIIIII", *numbers)
    head += struct.pack("<109I", *range(place, place + tables), *[_FREE] * (109 - tables))
    return head + sectors + directory + struct.pack(f"<{len(table)}I", *table)


def _chained(contents: Mapping[str, bytes], size: int) -> tuple[bytes, list[int], dict[str, int]]:
    """Contents in sectors of ``size`` bytes, their allocation table, and where each starts."""
    data, table, places = b"", list[int](), dict[str, int]()
    for path, content in contents.items():
        count = -(-len(content) // size)
        places[path] = len(table) if count else _END
        table += [len(table) + each + 1 for each in range(count - 1)] + [_END] * (count > 0)
        data += content + bytes(-len(content) % size)
    return data, table, places


def _directory(nodes: Mapping[str, bytes | None], places: Mapping[str, int], small: int) -> bytes:
    order = ["", *nodes]
    entries = b""
    for path in order:
        inside = [each for each in nodes if each.rpartition("/")[0] == path]
        beside = [each for each in nodes if each.rpartition("/")[0] == path.rpartition("/")[0]] if path else []
        later = beside[beside.index(path) + 1 :] if path else []
        content = nodes.get(path)
        name = (path.rpartition("/")[2] or "Root Entry").encode("utf-16-le") + b"\0\0"
        entries += name.ljust(64, b"\0") + struct.pack(
            "<HBBIII16sIQQIQ",
            len(name),
            5 if not path else 1 if content is None else 2,
            1,
            _FREE,
            order.index(later[0]) if later else _FREE,
            order.index(inside[0]) if inside and content is None else _FREE,
            bytes(16),
            0,
            0,
            0,
            places.get(path, _END),
            small if not path else len(content or b""),
        )
    return entries + bytes(-len(entries) % 512)


def vba_module(source: bytes) -> bytes:
    """A VBA module stream: a little compiled code, then the source packed as literals (MS-OVBA 2.4.1)."""
    packed = b"".join(b"\0" + source[at : at + 8] for at in range(0, len(source), 8))
    return bytes(300) + b"\x01" + struct.pack("<H", 0xB000 | (len(packed) - 1)) + packed


def packaged(name: str, content: bytes) -> bytes:
    """An Ole10Native stream that holds a file."""
    path = b"C:\\temp\\" + name.encode("cp1252") + b"\0"
    label = name.encode("cp1252") + b"\0"
    body = b"\x02\0" + label + path + b"\0\0\x03\0" + struct.pack("<I", len(path)) + path
    body += struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(body)) + body
