"""Owns how messages of the corpora are put together, byte by byte: no library would write most of them."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable

from support.corpus import payloads

TOP = (
    b"From: Alice Example <alice@sender.example>\r\n"
    b"To: teacher@school.example\r\n"
    b"Subject: Trip on Friday\r\n"
    b"Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n"
    b"Message-ID: <trip.1@sender.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)
MIXED = b'Content-Type: multipart/mixed; boundary="outer"\r\n'
OCTETS = b"Content-Type: application/octet-stream\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nPlease see the attached file.\r\n"


def b64(content: bytes, *, width: int = 76, eol: bytes = b"\r\n") -> bytes:
    """Base64 in lines of ``width`` letters, each ended by ``eol``."""
    letters = base64.b64encode(content)
    return b"".join(letters[at : at + width] + eol for at in range(0, len(letters), width))


@functools.cache
def program64() -> bytes:
    """The Windows program in ordinary base64."""
    return b64(payloads.windows_program())


def quoted(content: bytes, *, hexes: bytes = b"=%02X", soft: bytes = b"=\r\n") -> bytes:
    """Quoted-printable with every byte escaped that is not a letter or a digit."""
    escaped = [bytes([byte]) if chr(byte).isalnum() and byte < 128 else hexes % byte for byte in content]
    return soft.join(b"".join(escaped[at : at + 24]) for at in range(0, len(escaped), 24)) + b"\r\n"


def named(name: bytes) -> bytes:
    """The usual disposition of an attachment, with the name as it stands."""
    return b'Content-Disposition: attachment; filename="' + name + b'"\r\n'


def part(fields: bytes, body: bytes) -> bytes:
    """Fields, the empty line, the body."""
    return fields + b"\r\n" + body


def file(content: bytes, name: bytes = b"setup.exe", kind: bytes = b"application/octet-stream") -> bytes:
    """An ordinary attachment in base64."""
    return part(b"Content-Type: " + kind + b"\r\n" + BASE64 + named(name), b64(content))


def program(name: bytes = b"setup.exe") -> bytes:
    """The Windows program as an ordinary attachment."""
    return part(OCTETS + BASE64 + named(name), program64())


def parts(*each: bytes, boundary: bytes = b"outer", close: bool = True) -> bytes:
    """The body of a multipart."""
    ends = b"--" + boundary + b"--\r\n" if close else b""
    return b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in each) + ends


def multipart(*each: bytes, kind: bytes = b"mixed", boundary: bytes = b"outer") -> bytes:
    """A whole multipart entity: Content-Type, empty line, parts."""
    return part(
        b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n',
        parts(*each, boundary=boundary),
    )


def mail(entity: bytes) -> bytes:
    """A whole message around an entity (fields, empty line, body)."""
    return TOP + entity


def letter(*attachments: bytes) -> bytes:
    """A letter with attachments, as any client would send it."""
    return mail(multipart(TEXT, *attachments))


def attached(content: bytes, name: bytes, kind: bytes = b"application/octet-stream") -> bytes:
    """A letter with one attachment."""
    return letter(file(content, name, kind))


def letter_of(*attachments: bytes) -> bytes:
    """A letter to be put inside another file, with a boundary of its own."""
    return mail(multipart(TEXT, *attachments, boundary=b"inside"))


def packed(build: Callable[[], bytes], name: bytes, kind: bytes = b"application/octet-stream") -> bytes:
    """A letter with one attachment that is built when the letter is."""
    return attached(build(), name, kind)
