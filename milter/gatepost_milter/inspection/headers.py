"""Owns header blocks: where a header ends for each kind of mail client, and which fields it holds.

The ordinary header is read by two passes of a regular expression. Anything odd goes the slow way, line by line,
and may give several readings (RFC 7103 section 7).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

Fields = dict[str, list[bytes]]
Buffer = bytes | mmap.mmap

MAX_HEADER = 512 * 1024  # bytes of one header block that are read

# The fields that inspection uses; all others are skipped while a header is read.
WANTED = frozenset({
    "content-type", "content-transfer-encoding", "content-disposition", "content-description", "content-location",
    "from", "sender", "reply-to", "to", "cc", "resent-to", "resent-cc", "subject", "message-id",
    "auto-submitted", "precedence", "list-id", "list-unsubscribe", "list-post",
})  # fmt: skip

_BLANK = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"^([!-9;-~]+):((?:.*\n[ \t])*.*)", re.MULTILINE)
_ODD_LINE = re.compile(rb"^(?![!-9;-~]+:|[ \t]+[^ \t\r\n])", re.MULTILINE)
_LOOSE_NAME = re.compile(rb"([!-'*-9;-~]++)[\x00-\x20]*+(?:\([^()]{0,200}\))?[\x00-\x20]*+:")
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_LINE_KEEPING_CR = re.compile(rb"((?:[^\r\n]|\r(?!\n))*)(\r\n|\n|\Z)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_LATE_HEADER = re.compile(
    rb"[ \t\r\n]*\n(?=(?:content-(?:type|transfer-encoding|disposition)|mime-version|from|to|subject|date"
    rb"|message-id|received|return-path)[ \t]*:)",
    re.IGNORECASE,
)
# Fields that hide in the folding of others, or fold before their colon. What DKIM lists has no such values.
_HIDDEN = re.compile(
    rb"[\r\n](?:[ \t]+(content-type|content-transfer-encoding|content-disposition)[ \t]*:"
    rb"|(content-type|content-transfer-encoding|content-disposition)[ \t]*\r?\n[ \t]+:)"
    rb"(?=[ \t]*\"?(?:[a-z]{1,20}/[a-z]|base64|quoted|x?-?uue|[78]bit|binary|attachment|inline))"
    rb"((?:[^\r\n]*\r?\n[ \t](?![ \t]*content-))*[^\r\n]*)",
    re.IGNORECASE,
)
_INDENTED = re.compile(rb"\n[ \t]+[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-")  # quick to search for, and rare
_CONTROLS = bytes(set(range(32)) - {9})
_LATE_CONTENT = re.compile(
    rb"[ \t\r\n]*\n(?=[ \t]*content-(?:type|transfer-encoding|disposition)[ \t]*:)", re.IGNORECASE
)
_EXPECTS_FIELDS = re.compile(rb"\s*\"?(?:message|multipart|text/rfc822)", re.IGNORECASE)
_WANTED_BYTES = {name.encode(): name for name in WANTED}


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a header: its fields by lower-case name, and where its body starts."""

    fields: Fields
    body: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """A header block. The first reading is the one of the standards; ``why`` of the others is a defect's code."""

    readings: tuple[Reading, ...]
    defects: tuple[str, ...] = field(default=())


def read_header(data: Buffer, start: int, end: int) -> Header:
    """Read the header that begins at ``start``; it may fill everything up to ``end``."""
    head = data[start : start + 2]
    if head[:1] == b"\n" or head == b"\r\n":
        return _without_fields(data, start, end)
    header, blank = _read_block(data, start, end)
    return _with_late_fields(data, blank, end, header)


def _read_block(data: Buffer, start: int, end: int) -> tuple[Header, re.Match[bytes] | None]:
    """The fields from ``start`` to the first empty line, and that line."""
    limit = min(end, start + MAX_HEADER)
    blank = _BLANK.search(data, start, limit)
    stop, body = (blank.start() + 1, blank.end()) if blank else (limit, limit)
    block = data[start:stop]
    odd = _ODD_LINE.search(block)
    if (
        (odd is None or odd.start() == len(block))
        and b"\0" not in block
        and block.count(b"\r") == block.count(b"\r\n")
        and not (_INDENTED.search(block) and _HIDDEN.search(block))
        and block[:1] not in (b" ", b"\t")
    ):
        fields: Fields = {}
        for name, value in _FIELD.findall(block):
            wanted = _WANTED_BYTES.get(name.lower())
            if wanted is not None:
                fields.setdefault(wanted, []).append(value)
        defects = ("header-long",) if blank is None and limit < end else ()
        return Header((Reading(fields, body),), defects), blank
    return _read_odd(block, start, body, cut=blank is None and limit < end), blank


def _with_late_fields(data: Buffer, blank: re.Match[bytes] | None, end: int, header: Header) -> Header:
    """What follows an empty line that ends nothing for some clients: the fields that say how to decode a part.

    Where a message or its header is expected to follow, fields are no surprise.
    """
    late = blank and _LATE_CONTENT.match(data, blank.start(), min(end, blank.start() + 4096))
    fields = header.readings[0].fields
    if late is None or any(_EXPECTS_FIELDS.match(value) for value in fields.get("content-type", ())):
        return header
    further = _read_block(data, late.end(), end)[0]
    if "content-transfer-encoding" not in further.readings[0].fields:
        return header
    merged = {name: list(values) for name, values in fields.items()}
    for name, values in further.readings[0].fields.items():
        merged.setdefault(name, []).extend(values)
    late_readings = (Reading(merged, each.body, "header-late") for each in further.readings)
    return Header((*header.readings, *late_readings), header.defects)


def _without_fields(data: Buffer, start: int, end: int) -> Header:
    """A part that begins with an empty line has no fields; some clients skip the line and read on."""
    body = start + (2 if data[start : start + 1] == b"\r" else 1)
    plain = Reading({}, body)
    late = _LATE_HEADER.match(data, start, min(end, start + 4096))
    if late is None:
        return Header((plain,))
    first = read_header(data, late.end(), end).readings[0]
    return Header((plain, Reading(first.fields, first.body, "header-late")))


def _read_odd(block: bytes, start: int, body: int, *, cut: bool) -> Header:
    """The slow way: what stands in the header that is no field, and where it ends the header for some."""
    defects = ["header-long"] if cut else []
    fields: Fields = {}
    stops: dict[str, Reading] = {}
    for name, value, offset, why in _lines(block, _LINE):
        if name:
            fields.setdefault(name, []).append(value)
        elif why and why not in stops:
            after = offset + len(value) if why == "header-blank" else offset
            stops[why] = Reading({key: list(values) for key, values in fields.items()}, start + after, why)
        elif why:
            continue
        else:
            defects.append("header-spacing")
    if _BARE_CR.search(block):
        defects.append("header-control")
        for name, value, _, _ in _lines(block, _LINE_KEEPING_CR):
            if name:
                fields.setdefault(name, []).append(value)
        fields = {name: list(dict.fromkeys(values)) for name, values in fields.items()}
    for hidden in _HIDDEN.finditer(b"\n" + block):
        defects.append("header-spacing")
        fields.setdefault((hidden[1] or hidden[2]).decode().lower(), []).append(hidden[3])
    if b"\0" in block:
        defects.append("header-control")
    readings = (Reading(fields, body), *stops.values())
    return Header(readings, tuple(dict.fromkeys(defects)))


def _lines(block: bytes, line: re.Pattern[bytes]) -> Iterator[tuple[str, bytes, int, str]]:
    """The unfolded fields of a header as (name, value, offset, why).

    A line that is no field has no name: ``why`` says how it ends the header for some, empty if for none.
    """
    name, began, told = "", 0, 0
    value: list[bytes] = []
    for match in line.finditer(block):
        text, offset = match[1], match.start()
        if not match[0]:
            break
        if text[:1] in (b" ", b"\t") and text.strip(b" \t\0"):
            value.append(match[0])
            continue
        if name and len(value) > told:
            yield name, b"".join(value), began, ""
            told = len(value)
        if not text.strip(b" \t\0"):
            yield "", match[0], offset, "header-blank"
            continue  # a field goes on behind a folded line of spaces
        name = ""
        known = _LOOSE_NAME.match(text.translate(None, _CONTROLS))
        if known is None:
            if offset or not text.startswith((b"From ", b">From ")):
                yield "", match[0], offset, "header-junk"
            continue
        if not text.startswith(known[1] + b":"):
            yield "", match[0], offset, ""
        wanted = _WANTED_BYTES.get(known[1].lower())
        if wanted is not None:
            name, began = wanted, offset
            value, told = [text.partition(b":")[2], match[2]], 0
    if name and len(value) > told:
        yield name, b"".join(value), began, ""
