"""Owns the Content-* fields: media types, parameters and encodings, under every reading that clients know.

A value of the ordinary form is read once. Any other is read the strict way (RFC 2045, 2231) and the ways of
clients that ignore comments, quotes, escapes or the order of pieces; the values add up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from gatepost_milter.inspection.headers import Fields
from gatepost_milter.inspection.names import normalise
from gatepost_milter.inspection.words import decode_bytes, decode_words

MAX_VALUE = 64 * 1024  # bytes of one field that are read
MAX_PARAMETERS = 100  # parameters of one field that are read
_MAX_LITERAL = 4096  # bytes of one parameter value
MAX_NAMES = 48  # spellings of names that one field may give
MAX_BOUNDARIES = 16  # boundaries that one field may give
MAX_REPEATS = 20  # fields of one name in one part that are read

_ORDINARY = re.compile(
    rb"\s*+([\w!#$&^.+-]++(?:/[\w!#$&^.+-]++)?)"
    rb'(?:\s*+;\s*+[\w-]++=(?:"[^"\\;\x00-\x1f\x7f]*+"|[\w!#$&^.+/:\'-]++))*+\s*+(?:;\s*+)?',
    re.ASCII,
)
_ORDINARY_PARAMETER = re.compile(rb';\s*([\w-]+)=(?:"([^"]*)"|([^\s;]*))', re.ASCII)
_MEDIA_TYPE = re.compile(rb"\s*([\w!#$&^.+-]+)\s*(?:/\s*([\w!#$&^.+-]*))?", re.ASCII)
_STRUCTURE = re.compile(rb"(multipart|message)\s*[/\\]\s*([\w.+-]+)", re.IGNORECASE | re.ASCII)
_TYPE_ANYWHERE = re.compile(rb"(text|application|image|audio|video)\s*/\s*([\w.+-]+)", re.IGNORECASE | re.ASCII)
# No possessive repeat around a group that captures: Python before 3.11.5 (Debian 12 has 3.11.2) forgets the group.
_PARAMETER = re.compile(
    rb"(filename|file-name|name|boundary|charset)\s*+(?:\*\s*+(\d{1,6}))?\s*+(\*)?\s*+=\s*+",
    re.IGNORECASE | re.ASCII,
)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"([^;\r\n]*)', re.DOTALL)
_LOCATION_ROOT = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,20}://[^/]*")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_FOLDING = re.compile(rb"\r?\n[ \t]+")
_BREAK = re.compile(rb"[\r\n\0]+")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_MARK = re.compile(rb"(\\.|[\"()])", re.DOTALL)

_ENCODINGS = {
    "": "identity",
    "7bit": "identity",
    "8bit": "identity",
    "binary": "identity",
    "base64": "base64",
    "quoted-printable": "quoted-printable",
    "x-uuencode": "uuencode",
    "uuencode": "uuencode",
    "x-uue": "uuencode",
    "uue": "uuencode",
    "x-yenc": "yenc",
    "yenc": "yenc",
}
_ENCODING_WORDS = (
    (re.compile(rb"b(?:ase)?[-_. ]?64", re.IGNORECASE), "base64"),
    (re.compile(rb"quote?d?[-_. ]?print|\bqp\b", re.IGNORECASE), "quoted-printable"),
    (re.compile(rb"\b(?:x-)?uue?(?:ncode[d]?)?\b", re.IGNORECASE), "uuencode"),
    (re.compile(rb"\b(?:x-)?yenc\b", re.IGNORECASE), "yenc"),
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type in lower case with the parameters that matter. ``boundaries`` are candidates, best first."""

    type: str
    boundaries: tuple[bytes, ...] = ()
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One Content-Type or Content-Disposition value: its first word, other types it can be read as, parameters."""

    word: str
    others: tuple[str, ...]
    boundaries: tuple[bytes, ...]
    charset: str
    names: tuple[str, ...]
    ordinary: bool
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What the Content-* fields of one part say. Several types or encodings mean several readings, best first.

    ``odd_bytes`` is the length of the values that had to be read the slow way.
    """

    types: tuple[MediaType, ...]
    encodings: tuple[str, ...]
    disposition: str
    names: tuple[str, ...]
    defects: tuple[str, ...]
    odd_bytes: int = 0


def read_content(fields: Fields) -> Content:
    """Read the Content-* fields of one part."""
    type_fields = fields.get("content-type")
    disposition_fields = fields.get("content-disposition")
    encoding_fields = fields.get("content-transfer-encoding")
    types: dict[MediaType, None] = {}
    stated: set[tuple[str, tuple[bytes, ...]]] = set()
    names: dict[str, None] = {}
    defects: list[str] = []
    odd_bytes = 0
    for raw in (type_fields or ())[:MAX_REPEATS]:
        value = read_value(raw)
        stated.add((value.word, value.boundaries))
        for kind in (value.word, *value.others):
            types[MediaType(kind, value.boundaries, value.charset)] = None
        names.update(dict.fromkeys(value.names))
        if not value.ordinary:
            odd_bytes += len(raw)
            defects.append("header-long" if value.cut else "parameter-odd")
    disposition = ""
    for raw in (disposition_fields or ())[:MAX_REPEATS]:
        value = read_value(raw)
        disposition = value.word if not disposition or value.word == "attachment" else disposition
        names.update(dict.fromkeys(value.names))
        if not value.ordinary:
            odd_bytes += len(raw)
            defects.append("header-long" if value.cut else "parameter-odd")
    shown = disposition != "attachment" and (not types or next(iter(types)).type.startswith(("text", "multipart")))
    if not names and not shown:
        names.update(dict.fromkeys(_other_names(fields)))
    encodings: dict[str, None] = {}
    for raw in (encoding_fields or ())[:MAX_REPEATS]:
        read, unknown = read_encoding(raw)
        encodings.update(dict.fromkeys(read))
        if unknown:
            defects.append("encoding-unknown")
    if any(repeated and len(repeated) > 1 for repeated in (type_fields, disposition_fields, encoding_fields)):
        defects.append("field-repeated")
    if any(
        repeated and len(repeated) > MAX_REPEATS for repeated in (type_fields, disposition_fields, encoding_fields)
    ):
        defects.append("header-long")
    if len(stated) > 1:
        defects.append("type-conflict")
    return Content(
        types=tuple(types),
        encodings=tuple(encodings) or ("identity",),
        disposition=disposition,
        names=tuple(names),
        defects=tuple(dict.fromkeys(defects)),
        odd_bytes=odd_bytes,
    )


def _other_names(fields: Fields) -> Iterator[str]:
    """Content-Location and Content-Description, which name a file for some clients when nothing better does."""
    for field in ("content-location", "content-description"):
        for raw in fields.get(field, [])[:MAX_REPEATS]:
            text = decode_words(decode_bytes(_unfold(raw).strip()))[:_MAX_LITERAL]
            if field == "content-location":
                text = _LOCATION_ROOT.sub("", text).partition("?")[0].partition("#")[0]
            for name in normalise(text):
                stem, dot, extension = name.rpartition(".")
                if stem and dot and 0 < len(extension) <= 12:
                    yield name


@lru_cache(maxsize=1024)
def read_value(raw: bytes) -> Value:
    """Read one Content-Type or Content-Disposition value."""
    ordinary = _ORDINARY.fullmatch(raw) if len(raw) < 2048 else None
    if ordinary is not None:
        values: dict[str, list[bytes]] = {}
        for name, quoted, token in _ORDINARY_PARAMETER.findall(raw):
            values.setdefault(name.decode().lower(), []).append(quoted or token)
        charset = values.get("charset")
        return Value(
            word=ordinary[1].decode().lower(),
            others=(),
            boundaries=tuple(dict.fromkeys(values.get("boundary", ()))),
            charset=charset[0].decode() if charset and charset[0].isascii() else "",
            names=_names([decode_bytes(name) for key in ("filename", "name") for name in values.get(key, ())]),
            ordinary=True,
        )
    return _read_odd(raw)


def _read_odd(raw: bytes) -> Value:
    cut = len(raw) > MAX_VALUE
    raw = raw[:MAX_VALUE]
    unfolded = _unfold(raw)
    stripped = _without_comments(unfolded)
    texts = tuple(dict.fromkeys((stripped, unfolded, _FOLDING.sub(b"", raw))))
    found: dict[str, dict[bytes, None]] = {}
    for text in texts:
        for base, value in _parameters(text):
            found.setdefault(base, {})[value] = None
    boundaries: dict[bytes, None] = {}
    for value in found.get("boundary", ()):
        decoded = unquote_to_bytes(value.partition(b"''")[2]) if b"''" in value else value
        for each in (decoded, value, value.rstrip(), value.strip(), *_BREAK.split(value, maxsplit=1)[:1]):
            boundaries[each.rstrip(b" \t")] = None
    charsets = [value for value in found.get("charset", ()) if value.isascii()]
    raw_names = [decode_bytes(name) for key in ("filename", "file-name", "name") for name in found.get(key, ())]
    word, others = _media_types(stripped, unfolded)
    cut = cut or len(raw_names) > MAX_NAMES or len(boundaries) > MAX_BOUNDARIES
    cut = cut or raw.count(b"=") > MAX_PARAMETERS
    return Value(
        word=word,
        others=others,
        boundaries=tuple(boundaries)[:MAX_BOUNDARIES],
        charset=charsets[0].decode().partition("'")[0] if charsets else "",
        names=_names(raw_names),
        ordinary=False,
        cut=cut,
    )


def _media_types(stripped: bytes, unfolded: bytes) -> tuple[str, tuple[str, ...]]:
    """The media type of the standards, and others that a client may read out of the value."""

    def spelt(major: bytes, minor: bytes) -> str:
        return (major + b"/" + minor if minor else major).decode("ascii", "replace").lower()

    plain = decode_words(decode_bytes(stripped)).encode()
    head = _MEDIA_TYPE.match(stripped)
    word = spelt(head[1], head[2] or b"") if head else ""
    others: dict[str, None] = {}
    for text in (stripped, unfolded, plain, b"".join(unfolded.split())[:1024], unfolded.replace(b"\0", b"")):
        for pattern, reach in ((_STRUCTURE, len(text)), (_TYPE_ANYWHERE, (text.find(b";") + 1 or len(text)))):
            for match in pattern.finditer(text, 0, reach):
                others[spelt(match[1], match[2])] = None
    others.pop(word, None)
    return word, tuple(others)[:6]


def _unfold(raw: bytes) -> bytes:
    return _FOLD.sub(b"", raw) if b"\n" in raw else raw


def _without_comments(text: bytes) -> bytes:
    """RFC 5322 comments taken out, nested ones too; those in quotes stay, and so does one that never closes."""
    if b"(" not in text:
        return text
    kept: list[bytes] = []
    opened = 0
    depth, quoted = 0, False
    for piece in _COMMENT_MARK.split(text):
        if piece == b'"' and not depth:
            quoted = not quoted
        elif piece == b"(" and not quoted:
            if not depth:
                opened = len(kept)
            depth += 1
        kept.append(piece)
        if piece == b")" and depth:
            depth -= 1
            if not depth:
                kept[opened:] = [b" "]
    return b"".join(kept)


def _parameters(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Every value of every wanted parameter, continuations (RFC 2231) put together in all orders."""
    pieces: dict[str, list[tuple[int, bool, bytes]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(text)):
        if count >= MAX_PARAMETERS:
            break
        base = match[1].decode().lower()
        literals = list(dict.fromkeys(_literals(text[match.end() : match.end() + _MAX_LITERAL])))
        if match[2] is not None:
            pieces.setdefault(base, []).append((int(match[2]), bool(match[3]), literals[0] if literals else b""))
        for literal in literals:
            yield base, literal
            if match[3]:
                yield base, _extended(literal)
    for base, parts in pieces.items():
        for joined in dict.fromkeys(_joined(parts)):
            yield base, joined


def _literals(rest: bytes) -> Iterator[bytes]:
    """What clients take for the value that begins here, the reading of the standards first."""
    if rest[:1] == b'"':
        quoted = _QUOTED.match(rest)
        if quoted is not None:
            yield _ESCAPE.sub(rb"\1", quoted[1])
            yield quoted[1]
            if quoted[2].strip():
                yield quoted[1] + quoted[2].strip()
                yield quoted[1] + quoted[2].replace(b'"', b"").strip()
        naive = rest[1:].partition(b'"')[0]
        yield naive
        if quoted is None:
            yield naive.partition(b";")[0].strip()
            yield _BREAK.split(naive, maxsplit=1)[0].strip()
        return
    token, _, further = rest.partition(b";")
    if further.strip() and b"=" not in further:
        yield rest.strip()  # no parameter follows, so the semicolon may belong to the value
    yield token.strip().split(None, 1)[0] if token.strip() else b""
    yield token.strip()
    yield token.rstrip()
    yield token.strip().strip(b"'\"")
    yield token.partition(b"(")[0].strip()
    yield token.partition(b")")[0].strip()
    yield token.partition(b",")[0].strip()


def _extended(literal: bytes) -> bytes:
    """An RFC 2231 value: charset'language'percent-encoded. What has no such form is only unescaped."""
    charset, first, rest = literal.partition(b"'")
    _, second, value = rest.partition(b"'")
    if not (first and second):
        return unquote_to_bytes(literal)
    decoded = unquote_to_bytes(value)
    return decode_bytes(decoded, charset.decode("ascii", "replace")).encode("utf-8", "surrogatepass")


def _joined(parts: list[tuple[int, bool, bytes]]) -> Iterator[bytes]:
    """The pieces of a split value as clients join them: by number, as they stand, up to a gap, last wins."""
    last = dict(sorted({number: (number, encoded, piece) for number, encoded, piece in parts}.items()))
    first = dict(sorted({number: (number, encoded, piece) for number, encoded, piece in reversed(parts)}.items()))
    run = [
        first[number] for number in range(len(first)) if number in first and all(n in first for n in range(number))
    ]
    for order in (list(first.values()), list(last.values()), parts, run, sorted(parts, key=lambda part: part[0])):
        if not order:
            continue
        yield _extended_pieces(order)
        yield b"".join(piece for _, _, piece in order)


def _extended_pieces(order: list[tuple[int, bool, bytes]]) -> bytes:
    charset = ""
    decoded = bytearray()
    for at, (_, encoded, piece) in enumerate(order):
        value = piece
        if encoded and at == 0 and piece.count(b"'") >= 2:
            head, _, value = piece.split(b"'", 2)
            charset = head.decode("ascii", "replace")
        decoded += unquote_to_bytes(value) if encoded else value
    return decode_bytes(bytes(decoded), charset).encode("utf-8", "surrogatepass")


def _names(raw: list[str]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for each in raw[:MAX_NAMES]:
        names.update(dict.fromkeys(normalise(each)))
    return tuple(names)


@lru_cache(maxsize=256)
def read_encoding(raw: bytes) -> tuple[tuple[str, ...], bool]:
    """The readings of one Content-Transfer-Encoding value, and whether some client does not know it."""
    plain = raw.strip().lower()
    known = _ENCODINGS.get(plain.decode("ascii", "replace"))
    if known is not None:
        return (known,), False
    raw = raw[:4096]
    unfolded = _unfold(raw)
    stripped = _without_comments(unfolded)
    first = re.split(rb"[\s;,]+", stripped.strip().strip(b"\"'").lower(), maxsplit=1)[0]
    readings: dict[str, None] = {}
    strict = _ENCODINGS.get(first.decode("ascii", "replace").strip("\"'."))
    if strict is not None:
        readings[strict] = None
    decoded = decode_words(decode_bytes(unfolded)).encode("utf-8", "replace")
    for text in (stripped, unfolded, b"".join(unfolded.split()), decoded, unfolded.replace(b"\0", b"")):
        for pattern, encoding in _ENCODING_WORDS:
            if pattern.search(text):
                readings[encoding] = None
    only_comments = strict is not None and stripped.strip().lower() == first
    if not only_comments:
        readings["identity"] = None
    return tuple(readings), not only_comments
