"""Owns what the console's bounded child does: read one held message in a sandbox, and print it as JSON or a file.

``python -m gatepost_milter.cli.preview < message`` prints one JSON object; with ``--part N`` it writes the decoded
bytes of leaf N instead, and with ``--member SHA256`` those of the file with that digest, however deep it is.
Before the first byte is looked at, the process gives up files, network and programs, and bounds its memory and
time; whoever starts it bounds the rest. Nothing here needs libmilter.
"""

from __future__ import annotations

import encodings as codecs_package
import hashlib
import html
import importlib
import json
import os
import pkgutil
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import nh3

from gatepost_milter.inspection import encodings, headers, reader, recipients, sandbox, text
from gatepost_milter.inspection.containers import families, walk
from gatepost_milter.inspection.wire import Bounds

LIMIT = 128 * 1024 * 1024
"""Bytes of a message that are read."""

OUTPUT = 192 * 1024 * 1024
"""Bytes that may be written."""

_BOUNDS = Bounds(depth=32, members=20_000, expanded=1 << 30)
"""What looking for one file in archives may cost: at least what inspection itself may."""

_MEMORY = 1024 * 1024 * 1024
_SECONDS = 20
_PARTS = 2000
_TEXTS = 20
_CHARACTERS = 200_000
_FIELDS = 400
_FIELD = 4000
_NAMES = 5

_FIELD_LINES = re.compile(rb"([!-9;-~]{1,200})[ \t]*:((?:[^\n]*\n[ \t])*[^\n]*)\n?")

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "address",
        "b",
        "big",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
    ]
)
_WITHOUT_CONTENT = {"script", "style", "title", "template", "noscript", "xml", "svg", "math", "select", "iframe"}
_CELLS = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}, "*": {"dir"}}
_LINK = re.compile(r'<a(?: dir="[^"]*")?(?: href="([^"]*)")?(?: dir="[^"]*")?>|(</a>)')
_IMAGE = re.compile(r'<img(?: (?:alt|dir)="[^"]*")*>')
_ALT = re.compile(r' alt="([^"]*)"')


_SAMPLE = (
    b"Subject: =?utf-8?q?warm?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
    b"Content-Type: text/html\r\n\r\n<a href='http://\xc3\xa9.example/'>warm</a>\r\n--x\r\n"
    b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEs=\r\n--x--\r\n"
)


def cleaned(source: str) -> str:
    """HTML with nothing that runs, loads or leads anywhere: links become text with their real host."""
    first = nh3.clean(
        source,
        tags=set(_TAGS),
        clean_content_tags=_WITHOUT_CONTENT,
        attributes={**_CELLS, "a": {"href"}, "img": {"alt"}},
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )
    targets: list[str] = []

    def link(match: re.Match[str]) -> str:
        if not match[2]:
            targets.append(html.unescape(match[1] or ""))
            return '<span class="link">'
        where = destination(targets.pop()) if targets else "leads nowhere"
        return f'</span> <span class="host">[{html.escape(where)}]</span>'

    def image(match: re.Match[str]) -> str:
        alt = _ALT.search(match[0])
        return f'<span class="image">image{": " + alt[1] if alt and alt[1] else ""}</span>'

    # What was cleaned is written in one fixed way, so that a pattern reads it; and it is cleaned once more after.
    rewritten = _IMAGE.sub(image, _LINK.sub(link, first))
    return nh3.clean(
        rewritten, tags=set(_TAGS - {"a", "img"}), attributes={**_CELLS, "span": {"class"}}, link_rel=None
    )


def destination(target: str) -> str:
    """Where a link leads, in words: the host as it is looked up, an address, or nowhere."""
    try:
        parts = urlsplit(target.strip())
        host = parts.hostname or ""
    except ValueError:
        return "leads nowhere"
    if parts.scheme == "mailto":
        return f"mail to {parts.path[:200]}"
    if not host:
        return "leads nowhere"
    try:
        return host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        return ascii(host)


def seen(data: bytes) -> dict[str, Any]:
    """The message as the console shows it."""
    reading = reader.read(data, max_parts=_PARTS)
    inline = {id(each.leaf) for each in reading.texts}
    return {
        "headers": [list(each) for each in _fields(data)],
        "texts": [_text(data, each) for each in reading.texts[:_TEXTS]],
        "files": [
            {
                "index": index,
                "path": leaf.path,
                "name": leaf.names[0] if leaf.names else "",
                "claimed": leaf.claimed,
                "size": leaf.end - leaf.start,
            }
            for index, leaf in enumerate(reading.leaves)
            if leaf.names or id(leaf) not in inline
        ],
        "parts": [
            {
                "number": each.number,
                "type": each.content_type,
                "disposition": each.disposition,
                "encoding": each.encoding,
                "names": list(each.names[:_NAMES]),
                "reading": each.reading,
                "size": each.end - each.start,
            }
            for each in reading.parts
        ],
        "defects": [str(each) for each in reading.defects],
    }


def part(data: bytes, index: int) -> bytes | None:
    """The decoded bytes of one leaf, None if there is no such leaf."""
    leaves = reader.read(data, max_parts=_PARTS).leaves
    if not 0 <= index < len(leaves):
        return None
    leaf = leaves[index]
    return encodings.decode(data[leaf.start : leaf.end], leaf.encoding)[0][1]


class _Finder:
    """Sees every file that a walk opens, and keeps the one with the digest."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256
        self.found: bytes | None = None

    def file(self, _walk: walk.Walk, file: walk.File) -> None:
        if self.found is None and hashlib.sha256(file.data).hexdigest() == self._sha256:
            self.found = bytes(file.data)

    def document(self, _walk: walk.Walk, _file: walk.File, _members: object) -> None:
        """A document's words are not wanted."""


def member(data: bytes, sha256: str, *, scratch: walk.Scratch) -> bytes | None:
    """The file with that digest in any leaf, at any depth that inspection opens; None if there is none."""
    until = time.monotonic() + _SECONDS
    budget = walk.Budget(bounds=_BOUNDS, size=len(data), until=until)
    for leaf in reader.read(data, max_parts=_PARTS).leaves:
        finder = _Finder(sha256)
        visit = walk.Walk(part=leaf.number, budget=budget, scratch=scratch, families=families.ALL, texts=finder)
        for reading, decoded in encodings.decode(data[leaf.start : leaf.end], leaf.encoding):
            visit.leaf(decoded, leaf=leaf, reading=reading)
            if finder.found is not None:
                return finder.found
    return None


def _text(data: bytes, inline: reader.InlineText) -> dict[str, Any]:
    leaf = inline.leaf
    raw = data[leaf.start : min(leaf.end, leaf.start + text.MAX_TEXT)]
    source = text.source(raw, leaf.encoding, inline.charset, is_html=inline.html)
    shown = text.shown(source) if inline.html else source
    return {
        "where": leaf.path,
        "html": inline.html,
        "text": shown[:_CHARACTERS],
        "clean": cleaned(source[: 4 * _CHARACTERS]) if inline.html else "",
        "cut": len(shown) > _CHARACTERS or leaf.end - leaf.start > text.MAX_TEXT,
    }


def _fields(data: bytes) -> Iterator[tuple[str, str]]:
    """The fields of the header in order, decoded and on one line each."""
    body = headers.read_header(data, 0, len(data)).readings[0].body
    for count, match in enumerate(_FIELD_LINES.finditer(data, 0, body)):
        if count >= _FIELDS:
            return
        yield match[1].decode("ascii", "replace"), recipients.plain(match[2][:_FIELD])


def warm_up() -> None:
    """Load what is otherwise loaded at its first use: the sandbox has no files to load it from."""
    for module in pkgutil.iter_modules(codecs_package.__path__):
        if module.name not in ("mbcs", "oem"):
            importlib.import_module(f"encodings.{module.name}")
    seen(_SAMPLE)


def main(arguments: list[str]) -> int:
    """Read standard input, enter the sandbox, and answer. The exit code: 0, or 1 if there is no such part."""
    option, value = arguments if len(arguments) == 2 else ("", "")
    data = sys.stdin.buffer.read(LIMIT)
    warm_up()
    walk.warm_up()
    with tempfile.TemporaryFile() as file:
        sandbox.enter(memory=_MEMORY, file_size=OUTPUT, cpu=_SECONDS)
        if option == "--part":
            answer = part(data, int(value))
        elif option == "--member":
            answer = member(data, value, scratch=walk.Scratch(file.fileno()))
        else:
            answer = json.dumps(seen(data)).encode("ascii")
        if answer is None:
            return 1
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
        return 0


if __name__ == "__main__":
    # Leaving the usual way would ask the kernel for what the sandbox no longer gives.
    os._exit(main(sys.argv[1:]))
