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
