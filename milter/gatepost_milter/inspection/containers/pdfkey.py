"""Owns one question about an encrypted PDF: does it open without a password?

Exam papers and forms are often protected against changes only; a reader then opens them with the empty user
password and asks nothing (ISO 32000-1 section 7.6.3). MD5 and RC4 are the format's choice, and guard nothing here.
"""

from __future__ import annotations

import hashlib
import re
import struct

from gatepost_milter.inspection.detect import Buffer

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
except ImportError:  # without it, AES-256 documents count as locked
    Cipher = None  # type: ignore[assignment,misc]

_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_REFERENCE = re.compile(rb"/Encrypt\s{0,20}(\d{1,10})\s{1,20}(\d{1,5})\s{1,20}R")
_DIRECT = re.compile(rb"/Encrypt\s{0,20}<<")
_IDENTITY = re.compile(rb"/ID\s{0,20}\[\s{0,20}")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r\n|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r\n": b"", b"\r": b""}


def opens_without_password(data: Buffer) -> bool:
    """Whether the empty user password opens the document; False where that cannot be told."""
    dictionary = _dictionary(data)
    revision = _number(dictionary, b"R")
    owner, user = _string(dictionary, b"/O"), _string(dictionary, b"/U")
    if revision == 5 and len(user) >= 48:
        return hashlib.sha256(user[32:40]).digest() == user[:32]
    if revision == 6 and len(user) >= 48 and Cipher is not None:
        return _hardened(user[32:40]) == user[:32]
    if revision not in (2, 3, 4) or len(owner) < 32 or len(user) < 32:
        return False
    identity = _first_identity(data)
    length = 5 if revision == 2 else min(max(_number(dictionary, b"Length") or 40, 40), 128) // 8
    if revision == 4:
        length = 16
    permissions = struct.pack("<I", _number(dictionary, b"P") & 0xFFFFFFFF)
    seed = _PAD + owner[:32] + permissions + identity
    if revision == 4 and re.search(rb"/EncryptMetadata\s{1,20}false", dictionary):
        seed += b"\xff\xff\xff\xff"
    key = _md5(seed)
    for _ in range(50 if revision >= 3 else 0):
        key = _md5(key[:length])
    key = key[:length]
    if revision == 2:
        return _rc4(key, _PAD) == user[:32]
    check = _md5(_PAD + identity)
    for turn in range(20):
        check = _rc4(bytes(each ^ turn for each in key), check)
    return check == user[:16]


def _hardened(salt: bytes) -> bytes:
    """The hash of the empty password after ISO 32000-2, algorithm 2.B."""
    key = hashlib.sha256(salt).digest()
    turn, last = 0, 0
    while turn < 64 or last > turn - 32:
        cipher = Cipher(algorithms.AES(key[:16]), modes.CBC(key[16:32])).encryptor()
        mixed = cipher.update(key * 64)
        kind = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[sum(mixed[:16]) % 3]
        key = kind(mixed).digest()
        last = mixed[-1]
        turn += 1
    return key[:32]


def _dictionary(data: Buffer) -> bytes:
    found = _REFERENCE.search(data)
    if found:
        start = re.search(rb"(?<!\d)%s\s{1,20}%s\s{1,20}obj\b" % (found[1], found[2]), data)
        return bytes(data[start.end() : start.end() + 4096]) if start else b""
    direct = _DIRECT.search(data)
    return bytes(data[direct.end() : direct.end() + 4096]) if direct else b""


def _number(dictionary: bytes, name: bytes) -> int:
    found = re.search(rb"/%s\s{1,20}(-?\d{1,11})" % name, dictionary)
    return int(found[1]) if found else 0


def _string(dictionary: bytes, name: bytes) -> bytes:
    found = re.search(name + rb"\s{0,20}(?=[(<])", dictionary)
    return _string_at(dictionary, found.end()) if found else b""


def _first_identity(data: Buffer) -> bytes:
    found = None
    for found in _IDENTITY.finditer(data):  # noqa: B007 - the last one is the trailer in force
        pass
    return _string_at(bytes(data[found.end() : found.end() + 1024]), 0) if found else b""


def _string_at(text: bytes, position: int) -> bytes:
    """The string object at ``position``: in hexadecimal, or in parentheses with escapes."""
    if text[position : position + 1] == b"<":
        digits = re.sub(rb"[^0-9A-Fa-f]", b"", text[position + 1 : text.find(b">", position)])
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
    depth, at = 0, position
    while at < len(text):
        depth += {40: 1, 41: -1}.get(text[at], 0)
        if depth == 0:
            break
        at += 2 if text[at] == 0x5C else 1
    return _ESCAPE.sub(_unescaped, text[position + 1 : at])


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) & 0xFF]) if code[:1].isdigit() and code[:1] < b"8" else _ESCAPES.get(code, code)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    other = 0
    for at in range(256):
        other = (other + box[at] + key[at % len(key)]) & 0xFF
        box[at], box[other] = box[other], box[at]
    result = bytearray()
    at = other = 0
    for byte in data:
        at = (at + 1) & 0xFF
        other = (other + box[at]) & 0xFF
        box[at], box[other] = box[other], box[at]
        result.append(byte ^ box[(box[at] + box[other]) & 0xFF])
    return bytes(result)
