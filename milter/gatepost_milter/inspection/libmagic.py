"""Owns what libmagic is asked, and when: its opinion of some bytes as a media type and in words.

libmagic compares bytes with thousands of descriptions, and text far more slowly than anything else: 2 ms for a
page. So it is asked once where it can be, about no more bytes than it looks at, and not at all about what a few
bytes tell as well.
"""

from __future__ import annotations

import mmap
import re
from functools import cache

import magic

from gatepost_milter.inspection import sight

Buffer = bytes | mmap.mmap

_BINARY_SAMPLE = 16 * 1024
_COMPOUND_SAMPLE = 128 * 1024  # the directory of a compound file may stand far behind its head
_TEXT_SAMPLE = 4096  # the furthest that libmagic searches text for markup
_LOOKED_AT = 8192  # bytes that tell text from other data

# Tests that cost time and answer nothing that is asked here (magic.h).
_NO_SOFT, _NO_TEXT, _NO_ENCODING = 0x004000, 0x020000, 0x200000
_NO_DETAILS = 0x001000 | 0x010000 | 0x100000 | 0x800000  # compressed content, ELF sections, tokens, tapes

_QUICK_TEXT = (
    (re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s{0,64}<(?:!doctype\s+html|html)\b"), "text/html"),
    (re.compile(rb"(?:\xef\xbb\xbf)?BEGIN:VCALENDAR\b"), "text/calendar"),
)

# First bytes of what is named by its media type; for all else libmagic's words say first whether it knows it.
_BY_TYPE = (b"PK", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"ID3", b"\x1f\x8b", b"\xff\xfb", b"MThd", b"fLaC", b"OggS")

# Types for which libmagic's words add nothing: the second look costs as much as the first.
_WORDS = {
    "text/plain": "text",
    "text/csv": "CSV text",
    "text/html": "HTML document",
    "text/xml": "XML document",
    "text/calendar": "iCalendar",
    "text/vcard": "address card",
    "text/rtf": "Rich Text document",
    "text/x-c": "C source",
    "text/x-c++": "C++ source",
    "text/x-java": "Java source",
    "text/x-python": "Python script",
    "text/x-script.python": "Python script",
    "text/x-perl": "Perl script",
    "text/x-shellscript": "shell script",
    "text/x-msdos-batch": "DOS batch file",
    "text/x-tex": "TeX document",
    "text/x-diff": "difference between files",
    "message/rfc822": "mail message",
    "message/news": "news message",
    "application/json": "JSON data",
    "application/javascript": "JavaScript source",
    "image/svg+xml": "SVG image",
    "image/webp": "WebP image",
    "image/heic": "HEIC image",
    "image/tiff": "TIFF image",
    "image/bmp": "BMP image",
    "audio/mpeg": "MPEG audio",
    "video/mp4": "MPEG-4 video",
    "application/zip": "Zip archive",
    "application/gzip": "gzip archive",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "Excel workbook",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "PowerPoint presentation",
}

_TEXT_BYTES = bytes(code for code in range(256) if code >= 0x20 or code in b"\t\n\v\f\r\x1b")
_WIDE = (b"\xff\xfe", b"\xfe\xff")

# Text in which libmagic would see no more than text, or the source of a program: it begins like prose or a table,
# not like markup, a header ("word:"), an armour or the name of an interpreter, and there is no tag in it.
_PROSE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s{0,512}+(?![A-Za-z0-9_-]{1,64}+:|#!|-----)[A-Za-z0-9\"'\x80-\xff#(/*_.,=+~|$&-]"
)
_TAG = re.compile(rb"<[A-Za-z!?/%]")


class _Cookies:
    """One libmagic handle for each way of asking. They share the compiled descriptions on disk, not in memory."""

    def __init__(self) -> None:
        self.binary_type = _cookie(mime=True, leave_out=_NO_DETAILS | _NO_TEXT | _NO_ENCODING)
        self.binary_words = _cookie(mime=False, leave_out=_NO_DETAILS | _NO_TEXT | _NO_ENCODING)
        self.text_type = _cookie(mime=True, leave_out=_NO_DETAILS)
        self.text_words = _cookie(mime=False, leave_out=_NO_DETAILS)
        self.prose_type = _cookie(mime=True, leave_out=_NO_DETAILS | _NO_SOFT)


def _cookie(*, mime: bool, leave_out: int) -> magic.Magic:
    made = magic.Magic(mime=mime)
    magic.magic_setflags(made.cookie, made.flags | leave_out)
    return made


@cache
def _cookies() -> _Cookies:
    return _Cookies()


def warm_up() -> None:
    """Load libmagic's descriptions, so that no file need be opened later."""
    opinion(b"warm")
    opinion(b"<warm>")
    opinion(b"\0warm")


def opinion(data: Buffer) -> tuple[str, str]:
    """The media type and the words for ``data``. Never raises on content."""
    head = bytes(data[:_LOOKED_AT])
    if not head:
        return "application/x-empty", "empty"
    seen = sight.opinion(data)
    if seen is not None:
        return seen
    try:
        if head.startswith(_WIDE) or is_readable(head):
            return _of_text(head)
        return _of_binary(data, head)
    except magic.MagicException:
        return "application/octet-stream", "data"


def is_readable(sample: bytes) -> bool:
    """Whether no byte of ``sample`` is a control character that text does without."""
    return not sample.translate(None, _TEXT_BYTES)


def _of_text(head: bytes) -> tuple[str, str]:
    sample = head[:_TEXT_SAMPLE]
    for form, mime in _QUICK_TEXT:
        if form.match(sample):
            return mime, _WORDS[mime]
    asked = _cookies()
    prose = _PROSE.match(sample) and not _TAG.search(sample)
    cookie = asked.prose_type if prose else asked.text_type
    mime = str(cookie.from_buffer(sample))[:256]
    return mime, _WORDS.get(mime) or str(asked.text_words.from_buffer(sample))[:1024]


def _of_binary(data: Buffer, head: bytes) -> tuple[str, str]:
    asked = _cookies()
    compound = head.startswith(b"\xd0\xcf\x11\xe0")
    sample = bytes(data[: _COMPOUND_SAMPLE if compound else _BINARY_SAMPLE])
    if head.startswith(_BY_TYPE):
        mime = str(asked.binary_type.from_buffer(sample))[:256]
        return mime, _WORDS.get(mime) or str(asked.binary_words.from_buffer(sample))[:1024]
    words = str(asked.binary_words.from_buffer(sample))[:1024]
    if words == "data":
        return "application/octet-stream", words
    return str(asked.binary_type.from_buffer(sample))[:256], words
