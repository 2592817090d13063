"""Messages for tests, written out byte by byte: no well-behaved builder makes what attackers send."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from gatepost_milter.inspection import encodings, reader

PROGRAM = b"MZ" + bytes(range(1, 251)) * 2 + b"This program cannot be run in DOS mode."
"""What hostile messages carry. It holds no NUL, so that it survives every encoding."""

HEADER = (
    b"From: Alice Example <alice@sender.example>\r\n"
    b"To: teacher@school.example\r\n"
    b"Subject: Trip on Friday\r\n"
    b"Message-ID: <1@sender.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)


def b64(content: bytes = PROGRAM) -> bytes:
    """Base64 in lines of 76 letters with CRLF."""
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def quoted(content: bytes = PROGRAM) -> bytes:
    """Quoted-printable in which every byte but letters and digits is escaped, line breaks too."""
    escaped = [bytes([byte]) if chr(byte).isalnum() and byte < 128 else b"=%02X" % byte for byte in content]
    return b"=\r\n".join(b"".join(escaped[at : at + 24]) for at in range(0, len(escaped), 24)) + b"\r\n"


def uu(content: bytes = PROGRAM, name: bytes = b"setup.exe") -> bytes:
    """A file in uuencode, from begin to end."""
    lines = [binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45)]
    return b"begin 644 " + name + b"\n" + b"".join(lines) + b"`\nend\n"


def yenc(content: bytes = PROGRAM, name: bytes = b"setup.exe") -> bytes:
    """A file in yEnc, from =ybegin to =yend."""
    escaped = bytearray()
    for byte in content:
        code = (byte + 42) % 256
        escaped += bytes([code]) if code not in b"\0\n\r=" else b"=" + bytes([(code + 64) % 256])
    return b"=ybegin line=9999 size=%d name=%s\r\n%s\r\n=yend size=%d\r\n" % (
        len(content), name, bytes(escaped), len(content),
    )  # fmt: skip


def message(content: bytes, *, header: bytes = HEADER) -> bytes:
    """A whole message: the usual header, then ``content`` (more fields, the empty line, the body)."""
    return header + content


def text_part(text: bytes = b"Please see the attached file.") -> bytes:
    """The inside of a plain text part: fields, empty line, body."""
    return b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text + b"\r\n"


def file_part(
    name: bytes = b"setup.exe",
    *,
    content: bytes = PROGRAM,
    kind: bytes = b"application/octet-stream",
) -> bytes:
    """The inside of an ordinary attachment: fields, empty line, base64."""
    return (
        b"Content-Type: " + kind + b'; name="' + name + b'"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\n' + b64(content)
    )


def multipart(
    *parts: bytes, boundary: bytes = b"outer", kind: bytes = b"mixed", preamble: bytes = b"", close: bool = True
) -> bytes:
    """A multipart: its Content-Type field, the empty line, its parts between boundaries."""
    lines = b"".join(b"--" + boundary + b"\r\n" + part for part in parts)
    end = b"--" + boundary + b"--\r\n" if close else b""
    return b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n\r\n' + preamble + lines + end


@dataclass(frozen=True, slots=True)
class Found:
    """A leaf as some client hands it over: its names and its decoded content."""

    names: tuple[str, ...]
    content: bytes


def found(data: bytes, *, max_parts: int = 2000, as_type: str = "", depth: int = 0) -> list[Found]:
    """Everything that clients hand over, decoded; messages and multiparts in an encoding are read as well."""
    result = []
    for leaf in reader.read(data, max_parts=max_parts, as_type=as_type).leaves:
        for _, content in encodings.decode(data[leaf.start : leaf.end], leaf.encoding):
            result.append(Found(leaf.names, content))
            kind = leaf.claimed if leaf.claimed.startswith("multipart") else ""
            if leaf.encoding != "identity" and (kind or leaf.claimed.startswith("message")) and depth < 3:
                result += found(content, max_parts=max_parts, as_type=kind, depth=depth + 1)
            if leaf.claimed.startswith("text"):
                result += [Found((name.decode("latin-1"),), file) for name, file in encodings.embedded(content)]
    return result
