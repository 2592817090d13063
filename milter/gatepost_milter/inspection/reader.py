"""Owns the MIME reader: every part and every leaf of a message, under every reading that a mainstream client has.

The reading of the standards comes first. Each other reading is followed only as far as it shows something new; if
it does, its name is a defect (DESIGN section 6; RFC 2045-2049, 2231, 7103). Nothing is decoded here, no body is
read line by line, and nothing in a message makes the reader raise.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from gatepost_milter.inspection import headers
from gatepost_milter.inspection.boundaries import MAX_GUESSES, Lines, Split
from gatepost_milter.inspection.encodings import UU_BEGIN, UU_WORDS, begin_name
from gatepost_milter.inspection.fields import Content, MediaType, read_content
from gatepost_milter.inspection.filetypes import lookup
from gatepost_milter.inspection.headers import Buffer, Fields
from gatepost_milter.inspection.model import Defect, FileClass, Leaf, Part
from gatepost_milter.inspection.names import normalise
from gatepost_milter.inspection.words import decode_bytes

MAX_NESTING = 60  # multiparts and messages inside each other
MAX_ODD = 128 * 1024  # bytes of Content-* values of one message that are read the slow way
_MAX_SAME = 20  # defects of one code that are told
_MAX_FILES_IN_TEXT = 64
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news", "message/x-rfc822", "message"})

_LOOKS_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40}(?:[A-Za-z0-9+/=]|[ \t]*+\r?\n)*+")
_BASE64_BLOCK = re.compile(rb"(?:^[A-Za-z0-9+/]{60,76}\r?\n){3,}", re.MULTILINE)
_LOOKS_QUOTED = re.compile(rb"=(?:[0-9A-F]{2}|\r?\n)")
_YENC_BEGIN = re.compile(rb"^=ybegin [^\r\n]{0,500}?name=([^\r\n]{1,500})", re.MULTILINE)
_EXTENSION = re.compile(r".\.[A-Za-z0-9_-]{1,12}\Z")
_NOTHING = frozenset({FileClass.PLAIN})
_SAMPLE = 64 * 1024  # bytes of what stands outside parts that are looked through


@dataclass(frozen=True, slots=True)
class InlineText:
    """A leaf that a client shows as text: its charset as stated, and whether it is HTML."""

    leaf: Leaf
    charset: str
    html: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message holds under all readings.

    ``parts`` is the tree in order, ``leaves`` every leaf (inline texts too), ``texts`` those that are shown as
    text. ``messages`` are the attached messages that a client shows as a file as well: with a name, or said to be
    an attachment. ``fields`` are the fields of the message's own header, raw, by lower-case name.
    """

    fields: Fields
    parts: tuple[Part, ...]
    leaves: tuple[Leaf, ...]
    texts: tuple[InlineText, ...]
    messages: tuple[Leaf, ...]
    defects: tuple[Defect, ...]


def read(data: Buffer, *, max_parts: int, as_type: str = "", until: float = math.inf) -> Reading:
    """Read a message. ``max_parts`` bounds the parts over all readings; past it ``too-many-parts`` is a defect.

    ``until`` is the time (``time.monotonic``) when reading stops with the defect ``deadline``.

    ``as_type`` reads ``data`` as the decoded body of a part of that type (``multipart/…``, without its header):
    for multiparts that were wrapped in a transfer encoding.
    """
    reader = _Reader(data, max_parts=max_parts, until=until)
    if as_type:
        content = Content(
            types=(MediaType(as_type),), encodings=("identity",), disposition="", names=(), defects=()
        )
        place = _Place(number="", path="", depth=0, default="text/plain")
        reader.content(content, 0, len(data), place)
    else:
        reader.entity(0, len(data), _Place(number="", path="", depth=0, default="text/plain"))
    return reader.reading()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reader stands: IMAP-like number, the path before it, nesting, the type when none is said."""

    number: str
    path: str
    depth: int
    default: str
    limit: int = -1

    @property
    def where(self) -> str:
        here = f"part {self.number}" if self.number else ""
        return f"{self.path} › {here}" if self.path and here else here or self.path

    @property
    def part_path(self) -> str:
        here = f"part {self.number}" if self.number else "message"
        return f"{self.path} › {here}" if self.path else here

    @property
    def leaf_number(self) -> str:
        return self.number or "1"

    @property
    def leaf_path(self) -> str:
        here = f"part {self.leaf_number}"
        return f"{self.path} › {here}" if self.path else here

    def child(self, index: int, *, default: str = "text/plain", limit: int) -> _Place:
        number = f"{self.number}.{index}" if self.number else str(index)
        return _Place(number=number, path=self.path, depth=self.depth + 1, default=default, limit=limit)


class _Reader:
    """The state of reading one message; lives for one call of ``read``."""

    def __init__(self, data: Buffer, *, max_parts: int, until: float) -> None:
        self._data = data
        self._max_parts = max_parts
        self._until = until
        self._lines: Lines | None = None
        self._headers: dict[int, headers.Header] = {}
        self._seen: set[tuple[int, int, str]] = set()
        self._fields: Fields = {}
        self._parts: list[Part] = []
        self._leaves: dict[tuple[int, int, str, str, tuple[str, ...]], Leaf] = {}
        self._ranges: set[tuple[int, int, str, str]] = set()
        self._texts: list[InlineText] = []
        self._messages: dict[tuple[int, int], Leaf] = {}
        self._defects: dict[Defect, None] = {}
        self._told: dict[str, int] = {}
        self._odd_bytes = 0
        self._quiet = 0
        self._why = ""

    def reading(self) -> Reading:
        return Reading(
            fields=self._fields,
            parts=tuple(self._parts),
            leaves=tuple(self._leaves.values()),
            texts=tuple(self._texts),
            messages=tuple(self._messages.values()),
            defects=tuple(self._defects),
        )

    # -- entities ------------------------------------------------------------------------------------------------

    def entity(self, start: int, end: int, place: _Place) -> None:
        """Read a header and what follows it, up to ``end``."""
        key = (start, end, place.default)
        if key in self._seen:
            return
        self._seen.add(key)
        if len(self._seen) > self._max_parts:
            self._defect("too-many-parts", loud=True)
            return
        if time.monotonic() > self._until:
            self._defect("deadline", loud=True)
            return
        if self._odd_bytes > MAX_ODD:
            self._defect("header-long", loud=True)
            return
        if place.depth > MAX_NESTING:
            self._defect("too-deep", place.where, loud=True)
            return
        header = self._header(start, end)
        for code in header.defects:
            self._defect(code, place.where)
        first = header.readings[0]
        if not place.number and not place.path:
            self._fields = first.fields
        self.content(read_content(first.fields), min(first.body, end), end, place)
        for reading in header.readings[1:]:
            with self._reading(reading.why, place.where):
                self.content(read_content(reading.fields), min(reading.body, end), end, place)

    def _header(self, start: int, end: int) -> headers.Header:
        known = self._headers.get(start)
        if known is None or known.readings[0].body > end:
            known = self._headers[start] = headers.read_header(self._data, start, end)
        return known

    def content(self, content: Content, start: int, end: int, place: _Place) -> None:
        """Read a body under each media type that its fields can mean."""
        types = content.types or (MediaType(place.default),)
        self._odd_bytes += content.odd_bytes
        self._part(content, types[0], start, end, place)
        for code in content.defects:
            self._defect(code, place.where)
        if len(content.encodings) > 1:
            self._defect("encoding-conflict", place.where)
        if _promises(content.names) > 1:
            self._defect("names-conflict", place.where)
        self._as_type(types[0], content, start, end, place)
        for media_type in types[1:]:
            with self._reading("type-conflict", place.where):
                self._as_type(media_type, content, start, end, place)

    def _part(self, content: Content, media_type: MediaType, start: int, end: int, place: _Place) -> None:
        if len(self._parts) >= 2 * self._max_parts:  # a header may have several readings, each of them a part
            self._defect("too-many-parts", loud=True)
            return
        self._parts.append(
            Part(
                number=place.number,
                content_type=media_type.type,
                disposition=content.disposition,
                encoding=" ".join(content.encodings),
                names=content.names,
                start=start,
                end=end,
                reading=self._why,
                path=place.part_path,
            )
        )

    def _as_type(self, media_type: MediaType, content: Content, start: int, end: int, place: _Place) -> None:
        kind = media_type.type
        if kind.startswith("multipart"):
            self._multipart(media_type, content, start, end, place)
        elif kind in _MESSAGES:
            self._message(media_type, content, start, end, place)
        else:
            if kind == "message/partial":
                self._defect("message-partial", place.where, loud=True)
            elif kind == "message/external-body":
                self._defect("external-body", place.where, loud=True)
            self._leaf(media_type, content, start, end, place)

    # -- multiparts ----------------------------------------------------------------------------------------------

    def _multipart(self, media_type: MediaType, content: Content, start: int, end: int, place: _Place) -> None:
        lines = self._index()
        default = "message/rfc822" if media_type.type == "multipart/digest" else "text/plain"
        tried: dict[tuple[int, ...], None] = {}
        first: Split | None = None
        for boundary in media_type.boundaries:
            indices = lines.exact(start, end, boundary)
            if not indices or tuple(indices) in tried:
                continue
            tried[tuple(indices)] = None
            split = lines.split(start, end, boundary, indices)
            if first is not None:
                with self._reading("boundary-ambiguous", place.where):
                    self._walk(split, default, end, place)
            else:
                first = split
                self._walk(split, default, end, place)
                if not split.closed:
                    self._defect("multipart-unclosed", place.where)
        for boundary in media_type.boundaries:
            self._other_splits(boundary, tried, default, start, end, place)
        if first is not None:
            self._outside(first, place)
        encoded = [encoding for encoding in content.encodings if encoding != "identity"]
        if first is not None:
            if "quoted-printable" in encoded and self._has(b"=2D", start, end):
                self._encoded_multipart(media_type, "quoted-printable", start, end, place)
            return
        for encoding in encoded:
            self._encoded_multipart(media_type, encoding, start, end, place)
        self._guess(media_type, content, default, start, end, place, tried)

    def _other_splits(
        self,
        boundary: bytes,
        tried: dict[tuple[int, ...], None],
        default: str,
        start: int,
        end: int,
        place: _Place,
    ) -> None:
        """The ways in which lenient clients see one declared boundary in more lines than the standards do."""
        lines = self._index()
        if len(boundary) > 70:
            self._defect("boundary-long", place.where)
        exact = lines.exact(start, end, boundary)
        closing = boundary + b"--"
        if exact and any(lines.texts[index] == closing for index in exact[:-1]):
            with self._reading("parts-outside", place.where):
                self._walk(lines.split(start, end, boundary, exact, past_close=True), default, end, place)
        loose = lines.loose(start, end, boundary)
        if loose and tuple(loose) not in tried:
            tried[tuple(loose)] = None
            with self._reading("boundary-prefix", place.where):
                self._walk(lines.split(start, end, boundary, loose), default, end, place)
                self._walk(lines.split(start, end, boundary, loose, past_close=True), default, end, place)
        if place.limit > end:
            crossed = lines.exact(start, place.limit, boundary)
            if len(crossed) > len(exact):
                with self._reading("boundary-crossed", place.where):
                    self._walk(lines.split(start, place.limit, boundary, crossed), default, place.limit, place)

    def _walk(self, split: Split, default: str, end: int, place: _Place) -> None:
        limit = max(end, place.limit)
        for index, (start, stop) in enumerate(split.parts, 1):
            if len(self._seen) > self._max_parts:
                return
            self.entity(start, stop, place.child(index, default=default, limit=limit))

    def _encoded_multipart(
        self, media_type: MediaType, encoding: str, start: int, end: int, place: _Place
    ) -> None:
        """RFC 2045 6.4 forbids it; some clients decode the whole and split then. The inspector does so too."""
        self._defect("encoded-multipart", place.where)
        self._add(Leaf(
            number=place.leaf_number, path=place.leaf_path, names=(), claimed=media_type.type, encoding=encoding,
            start=start, end=end,
        ))  # fmt: skip

    def _guess(
        self,
        media_type: MediaType,
        content: Content,
        default: str,
        start: int,
        end: int,
        place: _Place,
        tried: dict[tuple[int, ...], None],
    ) -> None:
        """A multipart whose boundary is nowhere: some clients take the first likely line, some show it as text."""
        before = len(self._ranges)
        lines = self._index()
        for boundary in self._guesses(start, end):
            indices = lines.exact(start, end, boundary)
            if indices and tuple(indices) not in tried:
                with self._reading("boundary-guessed", place.where):
                    self._walk(lines.split(start, end, boundary, indices), default, end, place)
        if len(self._ranges) == before and not tried and not self._blank(start, end):
            self._defect("boundary-missing", place.where)
        plain = MediaType("text/plain", (), media_type.charset)
        self._leaf(plain, content, start, end, place)

    def _outside(self, split: Split, place: _Place) -> None:
        """What stands before the first and after the last boundary matters if it looks like files."""
        for start, end in (split.preamble, split.epilogue):
            if end - start < 32 or self._blank(start, end):
                continue
            sample = self._data[start : min(end, start + _SAMPLE)]
            lines = self._index()
            with self._reading("parts-outside", place.where):
                for boundary in self._guesses(start, end):
                    indices = lines.exact(start, end, boundary)
                    self._walk(lines.split(start, end, boundary, indices), "text/plain", end, place)
                block = _BASE64_BLOCK.search(sample)
                if block is not None:
                    self._add(self._bare_leaf("base64", start + block.start(), end, place))
                if b"\0" in sample:
                    self._add(self._bare_leaf("identity", start, end, place))
                self._files_in_text(start, end, place)

    # -- messages and leaves -------------------------------------------------------------------------------------

    def _message(self, media_type: MediaType, content: Content, start: int, end: int, place: _Place) -> None:
        """An attached message is read where it lies; when encoded, the inspector decodes it and reads it then."""
        inner = _Place(
            number="", path=place.leaf_path, depth=place.depth + 1, default="text/plain", limit=place.limit
        )
        for encoding in content.encodings:
            if encoding == "identity":
                if content.names or content.disposition == "attachment":
                    leaf = self._content_leaf(media_type, content, encoding, start, end, place)
                    self._messages.setdefault((start, end), leaf)
                self.entity(start, end, inner)
            else:
                self._defect("encoded-multipart", place.where)
                self._add(self._content_leaf(media_type, content, encoding, start, end, place))
        listed = [lookup(name) for name in content.names]
        if any(each is not None and each.extension not in ("eml", "mht", "mhtml") for each in listed):
            self._add(self._content_leaf(media_type, content, "identity", start, end, place))
        elif content.encodings == ("identity",) and self._looks_base64(start, end):
            self._add(self._content_leaf(media_type, content, "base64", start, end, place))

    def _leaf(self, media_type: MediaType, content: Content, start: int, end: int, place: _Place) -> None:
        """A leaf under each of its encodings, and under those that its bytes look like."""
        encodings = dict.fromkeys(content.encodings)
        kind = media_type.type or place.default
        named = bool(content.names) or content.disposition == "attachment"
        inline = kind.startswith("text") and not (named and content.disposition == "attachment")
        if "encoding-unknown" in content.defects or (named and tuple(encodings) == ("identity",)):
            if "base64" not in encodings and self._looks_base64(start, end):
                encodings["base64"] = None
                self._defect("base64-undeclared", place.where)
            if "encoding-unknown" in content.defects and _LOOKS_QUOTED.search(
                self._data, start, min(end, start + _SAMPLE)
            ):
                encodings["quoted-printable"] = None
        html = "html" in kind or kind.endswith("xml")
        for encoding in encodings:
            leaf = self._content_leaf(media_type, content, encoding, start, end, place)
            if self._add(leaf, kind="html" if html else "text" if inline else "file") and inline:
                self._texts.append(InlineText(leaf, media_type.charset, html))
        if kind.startswith("text") and "identity" in encodings:
            self._files_in_text(start, end, place)

    def _files_in_text(self, start: int, end: int, place: _Place) -> None:
        """Files written into text as uuencode or yEnc, which some clients show as attachments."""
        for pattern, words, encoding in ((UU_BEGIN, UU_WORDS, "uuencode"), (_YENC_BEGIN, (b"=ybegin",), "yenc")):
            if not any(self._has(word, start, end) for word in words):
                continue
            begins = list(islice(pattern.finditer(self._data, start, end), _MAX_FILES_IN_TEXT + 1))
            if len(begins) > _MAX_FILES_IN_TEXT:
                self._defect("too-many-parts", place.where, loud=True)
            for at, begin in enumerate(begins):
                stop = begins[at + 1].start() if at + 1 < len(begins) else end
                given = begin_name(begin) if encoding == "uuencode" else begin[1].strip()
                name = normalise(decode_bytes(given))
                leaf = self._bare_leaf(encoding, begin.start(), stop, place, names=name)
                if self._add(leaf):
                    self._defect("encoded-text-file", place.where)

    def _content_leaf(
        self, media_type: MediaType, content: Content, encoding: str, start: int, end: int, place: _Place
    ) -> Leaf:
        return Leaf(
            number=place.leaf_number,
            path=place.leaf_path,
            names=content.names,
            claimed=media_type.type,
            encoding=encoding,
            start=start,
            end=end,
        )

    def _bare_leaf(
        self, encoding: str, start: int, end: int, place: _Place, *, names: tuple[str, ...] = ()
    ) -> Leaf:
        return Leaf(
            number=place.leaf_number,
            path=place.leaf_path,
            names=names,
            claimed="",
            encoding=encoding,
            start=start,
            end=end,
        )

    def _add(self, leaf: Leaf, *, kind: str = "file") -> bool:
        """Keep a leaf unless the same bytes are known under the same reading; whether it is new."""
        if len(self._leaves) > 4 * self._max_parts:
            self._defect("too-many-parts", loud=True)
            return False
        key = (leaf.start, leaf.end, leaf.encoding, kind, leaf.names)
        nothing_new = self._quiet and not leaf.names and self._blank(leaf.start, leaf.end)
        if key in self._leaves or nothing_new:
            return False
        self._leaves[key] = leaf
        if leaf.start < leaf.end:
            self._ranges.add(key[:4])
        return True

    # -- small helpers -------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self, why: str, where: str) -> Iterator[None]:
        """Follow another reading: its own defects do not count; ``why`` does if it shows something new."""
        before, outer = len(self._ranges), self._why
        self._quiet += 1
        self._why = why
        try:
            yield
        finally:
            self._quiet -= 1
            self._why = outer
            if len(self._ranges) > before:
                self._defect(why, where)

    def _defect(self, code: str, where: str = "", *, loud: bool = False) -> None:
        told = self._told.get(code, 0)
        if (loud or not self._quiet) and told < _MAX_SAME:
            self._told[code] = told + 1
            self._defects[Defect(code=code, where=where)] = None

    def _index(self) -> Lines:
        if self._lines is None:
            self._lines = Lines(self._data)
            if self._lines.full:
                self._defect("too-many-parts", loud=True)
        return self._lines

    def _has(self, word: bytes, start: int, end: int) -> bool:
        return self._data.find(word, start, end) >= 0

    def _guesses(self, start: int, end: int) -> list[bytes]:
        found = self._index().guess(start, end)
        if len(found) > MAX_GUESSES:
            self._defect("too-many-parts", loud=True)
        return found[:MAX_GUESSES]

    def _looks_base64(self, start: int, end: int) -> bool:
        return _LOOKS_BASE64.fullmatch(self._data[start : min(end, start + 512)].strip()) is not None

    def _blank(self, start: int, end: int) -> bool:
        return end - start < 4096 and not self._data[start:end].strip(b" \t\r\n\0-")


def _promises(names: Iterable[str]) -> int:
    """How many different kinds of file the names promise; a name without an extension promises none."""
    kinds: set[frozenset[FileClass]] = set()
    for name in names:
        if _EXTENSION.search(name):
            found = lookup(name)
            kinds.add(found.classes if found is not None else _NOTHING)
    return len(kinds)
