"""Owns the decoding of transfer encodings, with the repairs that mail clients make to broken ones.

Runs in the inspector process: ``decode`` gives one result for each repair that changes the outcome.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

import pybase64

from gatepost_milter.inspection.marks import Buffer

_FOREIGN = re.compile(rb"[^A-Za-z0-9+/=\s]")
_PADDING_INSIDE = re.compile(rb"=\s*[A-Za-z0-9+/]")
_PADDED_RUN = re.compile(rb"[^=]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_JUNK = bytes(code for code in range(256) if code not in _ALPHABET + b"=")
_JUNK_AND_PADDING = _JUNK + b"="

_QP_SPACED_BREAK = re.compile(rb"=[ \t]+(?=\r?\n)")
_QP_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")

# A line that begins a file: with a mode and a name; or any that begins so, if a full line of uuencode follows.
UU_BEGIN = re.compile(
    rb"^(?:begin(-base64)?[ \t]+[0-7]{3,4}[ \t]+([^\r\n]{1,500})"
    rb"|(?:[Bb]egin|BEGIN)[ \t]{0,20}([^\r\n]{0,500})(?=\r?\nM[ -`]{60}\r?$))",
    re.MULTILINE,
)
UU_WORDS = (b"egin", b"EGIN")  # one of which stands in every such line: a quick test
_YENC_BEGIN = re.compile(rb"^=ybegin [^\r\n]{0,500}?name=([^\r\n]{1,500})", re.MULTILINE)
_YENC_ESCAPE = re.compile(rb"=(.)", re.DOTALL)
_YENC_SHIFT = bytes((code - 42) % 256 for code in range(256))

Decoded = list[tuple[str, bytes]]


def decode(data: bytes, encoding: str) -> Decoded:
    """Decode ``data`` as (reading, bytes) pairs: the ordinary reading first, then each repair that differs.

    ``encoding`` is one of ``identity``, ``base64``, ``quoted-printable``, ``uuencode``, ``yenc``; any other is
    taken for ``identity``. Never raises on content; the result is never longer than a few times ``data``.
    """
    if encoding == "base64":
        return _base64(data)
    if encoding == "quoted-printable":
        return _quoted_printable(data)
    if encoding == "uuencode":
        return [("uuencode", content) for _, content in uuencoded(data)] or [("identity", data)]
    if encoding == "yenc":
        return [("yenc", content) for _, content in yencoded(data)] or [("identity", data)]
    return [("identity", data)]


def defect(encoding: str, decoded: Decoded) -> str:
    """The defect that the readings of ``decode`` amount to; empty when all clients read the same."""
    if len(decoded) < 2:
        return ""
    return {"base64": "base64-ambiguous", "quoted-printable": "quoted-printable-broken"}.get(encoding, "")


def embedded(text: bytes) -> list[tuple[bytes, bytes]]:
    """The files that are written into a text as uuencode, base64 with a begin line, or yEnc: (name, content)."""
    return uuencoded(text) + yencoded(text)


def has_embedded(text: bytes) -> bool:
    """Whether ``embedded`` would look for files in this text: a quick test."""
    return b"=ybegin " in text or (any(word in text for word in UU_WORDS) and UU_BEGIN.search(text) is not None)


def _base64(data: bytes) -> Decoded:
    clean = _clean_base64(data)
    if clean is not None:
        return [("base64", clean)]
    results = {"base64": _quanta(data.translate(None, _JUNK).partition(b"=")[0])}
    foreign = _FOREIGN.search(data)
    if _PADDING_INSIDE.search(data):
        runs = _PADDED_RUN.findall(data.translate(None, _JUNK))
        results["after-padding"] = b"".join(_quanta(run) for run in runs)
        results["padding-ignored"] = _quanta(data.translate(None, _JUNK_AND_PADDING))
    if foreign is not None:
        results["up-to-junk"] = _quanta(data[: foreign.start()].translate(None, _JUNK_AND_PADDING))
        results["clean-lines"] = _quanta(
            b"".join(line for line in data.splitlines() if not _FOREIGN.search(line)).translate(
                None, _JUNK_AND_PADDING
            )
        )
        if b"-" in data or b"_" in data:
            results["url-safe"] = _quanta(data.translate(_URL_SAFE).translate(None, _JUNK_AND_PADDING))
    lines = [line for line in data.translate(None, _JUNK.replace(b"\n", b"")).split(b"\n") if line]
    if any(len(line) % 4 for line in lines[:-1]):
        results["by-line"] = b"".join(_quanta(line.partition(b"=")[0]) for line in lines)
    return _different(results)


class FaultyError(ValueError):
    """Base64 is not faultless."""


def faultless(data: Buffer, start: int, end: int, *, piece: int) -> Iterator[bytes]:
    """The content of faultless base64 from ``start`` to ``end``, decoded in pieces of about ``piece`` letters.

    Faultless is: lines of one length that holds whole bytes, their breaks where that length puts them, padding at
    the end alone. The lenient decoder leaves out what it does not know; it left out nothing but those breaks if
    the count of letters fits the count of bytes. None of this looks at a line by itself. Raises FaultyError where
    a piece shows that it is something else, or a line is longer than a piece; then what came before counts for
    nothing either.
    """
    tail = max(start, end - 1024)
    stop = tail + len(data[tail:end].rstrip(b"\r\n"))
    width, ending = _lines(data, start, stop, piece)
    stride = width + len(ending)
    step = max(piece // width, 1) * stride
    with memoryview(data) as view:
        for at in range(start, stop, step):
            until = min(at + step, stop)
            padding = data.find(b"=", at, until)
            if padding >= 0 and data[padding:end].translate(None, b"\r\n") not in (b"=", b"=="):
                raise FaultyError
            breaks = (until - at) // stride
            for place, byte in enumerate(ending, at + width):
                if data[place : at + breaks * stride : stride] != bytes([byte]) * breaks:
                    raise FaultyError
            try:
                decoded = pybase64.b64decode(view[at:until])
            except (binascii.Error, ValueError):
                raise FaultyError from None
            if until - at - breaks * len(ending) != (len(decoded) + 2) // 3 * 4:
                raise FaultyError
            yield decoded


def _lines(data: Buffer, start: int, stop: int, piece: int) -> tuple[int, bytes]:
    """The letters of a line and what ends it, by the first one; what has no lines is cut as if it had.

    Raises FaultyError if a line holds no whole bytes, or more than a piece.
    """
    first_break = data.find(b"\n", start, stop)
    if first_break < 0:
        return max(piece // 4, 1) * 4, b""
    ending = b"\r\n" if data[max(first_break - 1, start) : first_break] == b"\r" else b"\n"
    width = first_break + 1 - len(ending) - start
    if width % 4 or not 0 < width <= piece:
        raise FaultyError
    return width, ending


def _clean_base64(data: bytes) -> bytes | None:
    """The content of faultless base64, None for any other."""
    try:
        return b"".join(faultless(data, 0, len(data), piece=len(data)))
    except FaultyError:
        return None


def _quanta(clean: bytes) -> bytes:
    """Decode letters of the alphabet alone; a last lone letter holds no whole byte and falls away."""
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return pybase64.b64decode(clean + b"=" * (-len(clean) % 4), validate=True)


def _quoted_printable(data: bytes) -> Decoded:
    results = {"quoted-printable": binascii.a2b_qp(data)}
    if _QP_SPACED_BREAK.search(data):
        results["spaced-break"] = binascii.a2b_qp(_QP_SPACED_BREAK.sub(b"=", data))
    if _QP_BROKEN.search(data):
        results["broken-dropped"] = binascii.a2b_qp(_QP_BROKEN.sub(b"", data))
        results["broken-kept"] = binascii.a2b_qp(_QP_BROKEN.sub(b"=3D", data))
    return _different(results)


def _different(results: dict[str, bytes]) -> Decoded:
    seen: set[bytes] = set()
    different: Decoded = []
    for reading, content in results.items():
        if content not in seen and (content or not different):
            seen.add(content)
            different.append((reading, content))
    return [each for each in different if each[1] or len(different) == 1]


def uuencoded(text: bytes) -> list[tuple[bytes, bytes]]:
    """All uuencoded files in ``text`` as (name, content); without a begin line, the whole text as one file."""
    starts = list(UU_BEGIN.finditer(text))
    if not starts:
        content = _uu_lines(text)
        return [(b"", content)] if content else []
    found = []
    for at, begin in enumerate(starts):
        stop = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        lines = text[begin.end() : stop].lstrip(b"\r\n")
        if begin[1]:
            content = _quanta(re.split(rb"^====", lines, maxsplit=1, flags=re.MULTILINE)[0].translate(
                None, _JUNK_AND_PADDING
            ))  # fmt: skip
        else:
            content = _uu_lines(lines)
        if content:
            found.append((begin_name(begin), content))
    return found


def begin_name(begin: re.Match[bytes]) -> bytes:
    """The name that a line which begins a file gives; some leave out the mode, some the name."""
    return (begin[2] or begin[3] or b"").strip()


def _uu_lines(text: bytes) -> bytes:
    """Decode uuencoded lines up to ``end``; lines of the wrong length are padded or cut, as decoders do."""
    decoded = bytearray()
    for line in text.splitlines():
        if line == b"end":
            break
        length = (line[0] - 32) & 63 if line else 0
        if not length:
            continue
        needed = (length + 2) // 3 * 4
        body = line[1 : 1 + needed].ljust(needed, b" ")
        try:
            decoded += binascii.a2b_uu(line[:1] + body)
        except binascii.Error:
            if not decoded:
                return b""
    return bytes(decoded)


def yencoded(text: bytes) -> list[tuple[bytes, bytes]]:
    """All yEnc files in ``text`` as (name, content)."""
    found = []
    starts = list(_YENC_BEGIN.finditer(text))
    for at, begin in enumerate(starts):
        # A file ends where the next begins: else a thousand beginnings would be a thousand copies of the rest.
        limit = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        stop = text.find(b"\n=yend", begin.end(), limit)
        lines = text[begin.end() : stop if stop >= 0 else limit].lstrip(b"\r\n")
        if lines.startswith(b"=ypart"):
            lines = lines.partition(b"\n")[2]
        content = _YENC_ESCAPE.sub(
            lambda escaped: bytes([(escaped[1][0] - 64) % 256]), lines.translate(None, b"\r\n")
        ).translate(_YENC_SHIFT)
        found.append((begin[1].strip(), content))
    return found
