"""Owns mail inside mail: forwarded messages, web archives, mailboxes, and S/MIME that wraps a message.

The reader of the outer message reads the inner one too, under the same union of readings.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from gatepost_milter.inspection import detect, encodings, reader
from gatepost_milter.inspection.containers.walk import Family, File, UnreadableError, Walk
from gatepost_milter.inspection.defects import DEFECTS, Severity
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

_NAMES = frozenset({"eml", "mht", "mhtml", "mim", "mime", "nws", "emlx", "mbox", "mbx"})
_TYPES = frozenset({"message/rfc822", "message/global", "message/news", "message/x-rfc822", "message"})
_FIELD = re.compile(
    rb"(?im)^(?:content-(?:type|transfer-encoding|disposition)|mime-version|received|return-path|message-id"
    rb"|from|to|subject|date|x-[a-z-]{2,40}):"
)
_MBOX = re.compile(rb"(?m)^From [^\r\n]{0,200}\r?\n(?=[A-Za-z-]{2,40}:)")
_ARMOUR = re.compile(rb"\s{0,64}-----BEGIN (?!PGP)[A-Z0-9 ]{1,40}-----\s{1,8}(?!M[A-J])(?=[A-Za-z0-9+/]{8})")
_BASE64_NAMES = frozenset({"b64", "base64"})
_PARTS = 2000

# Object identifiers in DER, with their tag and length.
_SIGNED = bytes.fromhex("06092a864886f70d010702")
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")
_ENCRYPTED = bytes.fromhex("06092a864886f70d010706")
_AUTH_ENVELOPED = bytes.fromhex("060b2a864886f70d0109100117")
_COMPRESSED = bytes.fromhex("060b2a864886f70d0109100109")
_OCTETS, _CONTEXT, _SEQUENCE = 0x04, 0xA0, 0x30
_DER_DEPTH = 24


def knows(file: File) -> bool:
    """Said to be mail, by type, name or libmagic, or unlisted text that starts as mail does."""
    claimed = file.claimed.lower()
    if claimed in _TYPES or claimed.startswith("multipart/"):
        return True
    if file.extensions() & _NAMES or file.mime == "message/rfc822":
        return True
    if not file.mime.startswith("text/"):
        return False
    head = bytes(file.data[:4096])
    fields = {found[0].lower() for found in _FIELD.finditer(head)}
    return b"content-type:" in fields and b"mime-version:" in fields


def open_(walk: Walk, file: File) -> None:
    """Hand over the leaves of each message."""
    data = bytes(file.data)
    claimed = file.claimed.lower()
    if claimed.startswith("multipart/"):
        _message(
            walk, file, data, as_type=claimed
        )  # a multipart under a transfer encoding has no header of its own
        return
    starts = [found.start() for found in _MBOX.finditer(data)]
    if len(starts) > 1 and starts[0] == 0:
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
            walk.unpack(file, [data[data.index(b"\n", start) + 1 : end]], raw_names=["message.eml"], quiet=True)
        return
    begin = data.index(b"\n") + 1 if re.match(rb"From |\d{1,9}[ \t]*\r?\n", data) and b"\n" in data else 0
    _message(walk, file, data[begin:])


def _message(walk: Walk, file: File, data: bytes, *, as_type: str = "") -> None:
    reading = reader.read(data, max_parts=_PARTS, as_type=as_type, until=walk.budget.until)
    for defect in reading.defects:
        if DEFECTS[defect.code].severity is Severity.UNINSPECTABLE:
            file.mark(FileClass.OPAQUE, f"the message in it cannot be read whole ({defect.code})")
    for leaf in reading.leaves:
        walk.budget.check()
        for _, content in encodings.decode(data[leaf.start : leaf.end], leaf.encoding):
            if len(content) >= len(data):
                continue  # the same bytes again: a message that has no header is its own only part
            names = list(leaf.names) or [f"part {leaf.number}"]
            walk.unpack(file, [content], raw_names=names, claimed=leaf.claimed, quiet=not leaf.names)


def knows_encoded(file: File) -> bool:
    """Text in which a file is written as uuencode or yEnc, or a file that is nothing but base64 by its name."""
    if not detect.is_text(file.data, file.mime):
        return False
    data = bytes(file.data)
    return bool(file.extensions() & _BASE64_NAMES or _ARMOUR.match(data)) or encodings.has_embedded(data)


def open_encoded(walk: Walk, file: File) -> None:
    """Hand over the files that are written into the text."""
    data = bytes(file.data)
    for name, content in encodings.embedded(data):
        walk.unpack(file, [content], raw_names=[name.decode("utf-8", "replace") or "encoded file"])
    armour = _ARMOUR.match(data)
    if armour:  # a certificate begins with an ASN.1 sequence; what does not is something else in its dress
        body = data[armour.end() :].partition(b"-----END")[0]
        walk.unpack(file, [encodings.decode(body, "base64")[0][1]], raw_names=["in armour"], quiet=True)
    if file.extensions() & _BASE64_NAMES:
        stems = [name.rpartition(".")[0] or name for name in file.names]
        for _, content in encodings.decode(data, "base64"):
            walk.unpack(file, [content], raw_names=stems, quiet=True)


def knows_smime(file: File) -> bool:
    """PKCS #7 / CMS by its object identifier near the start (DER or BER)."""
    head = bytes(file.data[:48])
    return head[:1] == b"\x30" and any(
        mark in head for mark in (_SIGNED, _ENVELOPED, _ENCRYPTED, _AUTH_ENVELOPED, _COMPRESSED)
    )


def open_smime(walk: Walk, file: File) -> None:
    """RFC 8551: what is encrypted says so, what is only signed or compressed is opened."""
    data = file.data
    head = bytes(data[:48])
    if any(mark in head for mark in (_ENVELOPED, _ENCRYPTED, _AUTH_ENVELOPED)):
        file.mark(FileClass.ENCRYPTED, "it is an encrypted message (S/MIME)")
        return
    content = b"".join(_wrapped(data))
    if _COMPRESSED in head:
        content = zlib.decompressobj().decompress(content, 64 * 1024 * 1024)
    if content:
        walk.unpack(file, [content], raw_names=["smime.eml"], claimed="message/rfc822")


def _wrapped(data: Buffer) -> Iterator[bytes]:
    """The content of EncapsulatedContentInfo (RFC 5652 section 5.2); nothing when the signature is detached."""
    # ContentInfo > [0] > SignedData > (version, digests, EncapsulatedContentInfo > (type, [0] > OCTET STRING))
    outer = _children(data, 0, len(data), 0)
    info = next(outer, None)
    if info is None or info[0] != _SEQUENCE:
        raise UnreadableError("it is a damaged signed message")
    for tag, start, end in _children(data, info[1], info[2], 1):
        if tag != _CONTEXT:
            continue
        for _, inner, stop in _children(data, start, end, 2):
            for kind, at, until in _children(data, inner, stop, 3):
                if kind != _SEQUENCE:
                    continue
                for field, first, last in _children(data, at, until, 4):
                    if field == _CONTEXT:
                        yield from _octets(data, first, last, 5)
                return


def _octets(data: Buffer, start: int, end: int, depth: int) -> Iterator[bytes]:
    """An OCTET STRING, in one piece or (BER) in many."""
    for tag, first, last in _children(data, start, end, depth):
        if tag == _OCTETS:
            yield bytes(data[first:last])
        elif tag in (0x24, _CONTEXT):
            yield from _octets(data, first, last, depth + 1)


def _children(data: Buffer, start: int, end: int, depth: int) -> Iterator[tuple[int, int, int]]:
    """The elements between two offsets as (tag, start of content, end of content)."""
    if depth > _DER_DEPTH:
        raise UnreadableError("it is nested too deeply")
    position = start
    while position + 2 <= end:
        tag, first, last, after = _element(data, position, end, depth)
        if tag == 0 and first == last:
            return
        yield tag, first, last
        position = after


def _element(data: Buffer, position: int, end: int, depth: int) -> tuple[int, int, int, int]:
    tag, length = data[position], data[position + 1]
    first = position + 2
    if length == 0x80:  # indefinite: up to the end-of-contents octets
        stop = _end_of_contents(data, first, end, depth + 1)
        return tag, first, stop, stop + 2
    if length & 0x80:
        count = length & 0x7F
        if count > 6:
            raise UnreadableError("it is a damaged signed message")
        length = int.from_bytes(data[first : first + count], "big")
        first += count
    last = min(first + length, end)
    return tag, first, last, last


def _end_of_contents(data: Buffer, position: int, end: int, depth: int) -> int:
    if depth > _DER_DEPTH:
        raise UnreadableError("it is nested too deeply")
    while position + 2 <= end:
        if data[position : position + 2] == b"\0\0":
            return position
        position = _element(data, position, end, depth)[3]
    return end


MAIL = Family(name="message", knows=knows, open=open_)
ENCODED = Family(name="encoded text", knows=knows_encoded, open=open_encoded)
SMIME = Family(name="signed message", knows=knows_smime, open=open_smime)
