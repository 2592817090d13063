"""Owns the words of files: what a person would read in an attachment, for rules about words.

Runs in the inspector process only. Each file gives one text; a row of a table is one line, its cells apart by
tabs, so that a rule can tell a heading from what stands under it. Reading words never changes what a file is:
what cannot be read is the defect ``text-unread``, and what is too long or too slow ``text-long``.
"""

from __future__ import annotations

import csv
import html
import io
import quopri
import re
import time
from collections.abc import Callable, Iterable
from functools import partial

from gatepost_milter.inspection import detect
from gatepost_milter.inspection import text as shown_text
from gatepost_milter.inspection.containers import markup, pages, rtf
from gatepost_milter.inspection.containers.extent import Extent
from gatepost_milter.inspection.containers.walk import CONTENT_ERRORS, Budget, File, UnreadableError, Walk
from gatepost_milter.inspection.model import Defect, FileClass, Text
from gatepost_milter.inspection.words import decode_bytes

MAX_SECONDS = 5.0  # for the words of all files of one leaf
_MOST_BYTES = 16 * 1024 * 1024  # of a document's unpacked markup

_PAGES = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml"})
_PAGE_NAMES = frozenset({"htm", "html", "shtml", "xhtml", "xht", "svg"})
_TABLES = frozenset({"text/csv", "text/tab-separated-values", "application/csv"})
_TABLE_NAMES = frozenset({"csv", "tsv", "tab"})
_CARDS = frozenset({"text/calendar", "text/vcard", "text/x-vcard", "text/directory"})
_CARD_NAMES = frozenset({"ics", "ical", "ifb", "vcf", "vcard", "vcs"})
_MARKUP = ("text/xml", "application/xml")
_MARKUP_NAMES = frozenset({"xml", "xsl", "rss", "kml", "fods", "fodt"})
# Documents of which nobody here reads the words: the policy may want to know.
_UNREAD = frozenset({"doc", "dot", "xls", "xlt", "xlsb", "ppt", "pps", "pub", "one", "pages", "numbers", "key"})

_ORDERS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_UNFOLD = re.compile(r"\r?\n[ \t]")
_CARD_ESCAPE = re.compile(r"\\([,;:\\nN])")
_QUOTED_START = re.compile(r"(?i)[^:]{0,500}ENCODING=QUOTED-PRINTABLE[^:]{0,500}:")

Reader = Callable[[Extent], str]


class Texts:
    """The words of one leaf's files. ``left`` is the number of characters that may still be told."""

    def __init__(self, *, left: int, budget: Budget) -> None:
        self._left = left
        self._budget = budget
        self._seconds = MAX_SECONDS
        self.found: list[Text] = []

    def file(self, walk: Walk, file: File) -> None:
        """Read a file that is text, PDF or RTF; zip documents come by ``document``."""
        reader = _reader(file)
        if reader is not None:
            self._read(walk, file, reader, is_html=_is_page(file))
        elif file.extensions() & _UNREAD and FileClass.ENCRYPTED not in file.classes:
            self._unread(walk, file, "words of this kind of document are not read")

    def document(
        self, walk: Walk, file: File, members: Iterable[tuple[str, Callable[[], Iterable[bytes]]]]
    ) -> None:
        """Read the pages, sheets or slides of a document that is a zip file."""
        self._read(walk, file, partial(markup.read, members))

    def _read(self, walk: Walk, file: File, reader: Reader, *, is_html: bool = False) -> None:
        if FileClass.ENCRYPTED in file.classes:
            return  # its class says that nobody can see into it
        started = time.monotonic()
        # Words must not take the time in which the other files are to be opened: a late file counts as opaque.
        seconds = min(self._seconds, (self._budget.until - started) / 4)
        extent = Extent(characters=self._left, octets=_MOST_BYTES, until=started + seconds)
        words = ""
        try:
            words = reader(extent)
        except UnreadableError as error:
            self._unread(walk, file, str(error))
        except (MemoryError, RecursionError, *CONTENT_ERRORS):
            self._unread(walk, file, "it is damaged")
        self._seconds = max(0.0, self._seconds - (time.monotonic() - started))
        if extent.cut or len(words) > self._left:
            walk.defects.append(Defect(code="text-long", where=file.path[:4000]))
        words = words[: self._left].replace("\0", "")
        if words.strip():
            self._left -= len(words)
            self.found.append(Text(where=file.path[:16000], text=words, html=is_html))

    def _unread(self, walk: Walk, file: File, why: str) -> None:
        walk.defects.append(Defect(code="text-unread", where=file.path[:4000], detail=why[:200]))


def warm_up() -> None:
    """Load what is otherwise loaded at first use, while files can still be opened."""
    pages.warm_up()


def _is_page(file: File) -> bool:
    return file.mime in _PAGES or file.claimed.lower() in _PAGES or bool(file.extensions() & _PAGE_NAMES)


def _reader(file: File) -> Reader | None:
    """What reads this file's words; None for a file without any, and for mail, whose parts are files."""
    claimed = file.claimed.lower()
    if file.data[:4] == b"{\\rt":
        return partial(rtf.read, bytes(file.data))
    if file.mime == "application/pdf":
        return partial(pages.read, bytes(file.data))
    if claimed.startswith(("message/", "multipart/")) or file.mime == "message/rfc822":
        return None
    if not file.mime.startswith(("text/", "application/", "message/news", "image/svg")):
        return None
    if file.quiet and not claimed.startswith("text/"):
        return None  # innards of a container, such as settings, are read by nobody
    if not len(file.data) or not detect.is_text(file.data, file.mime):
        return None
    if _is_page(file):
        return partial(_page, file)
    if file.extensions() & _TABLE_NAMES or claimed in _TABLES or file.mime in _TABLES:
        return partial(_table, file)
    if file.extensions() & _CARD_NAMES or claimed in _CARDS or file.mime in _CARDS:
        return partial(_cards, file)
    return partial(_plain, file)


def _decoded(file: File, extent: Extent) -> str:
    """The file as text: by its byte order mark, else UTF-8, else Windows-1252, as programs guess it."""
    most = 4 * extent.left
    data = bytes(file.data[:most])
    extent.cut = extent.cut or len(file.data) > most
    for mark, codec in _ORDERS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(file.data) > most and error.start > len(data) - 4:
            return data[: error.start].decode("utf-8")
    return decode_bytes(data, "windows-1252")


def _plain(file: File, extent: Extent) -> str:
    words = _decoded(file, extent)
    marked_up = file.mime in _MARKUP or file.claimed.lower() in _MARKUP or file.extensions() & _MARKUP_NAMES
    return html.unescape(words) if marked_up and "&" in words else words


def _page(file: File, extent: Extent) -> str:
    return shown_text.shown(_decoded(file, extent))


def _table(file: File, extent: Extent) -> str:
    """Rows as lines, cells apart by tabs, whatever separates them in the file; as Excel would take it."""
    words = _decoded(file, extent)
    first, _, rest = words.partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        separator, words = first[4], rest
    else:
        head = first[:4096]
        separator = max("\t,;|", key=head.count)
    rows: list[str] = []
    try:
        for count, row in enumerate(csv.reader(io.StringIO(words, newline=""), delimiter=separator)):
            if count >= markup.MAX_CELLS or (not count % 1024 and extent.over()):
                extent.cut = True
                break
            rows.append("\t".join(" ".join(cell.split()) for cell in row))
    except csv.Error:
        return words
    return "\n".join(rows)


def _cards(file: File, extent: Extent) -> str:
    """Calendars and contact cards with their lines unfolded (RFC 5545 section 3.1, RFC 6350 section 3.2)."""
    words = _UNFOLD.sub("", _decoded(file, extent))
    lines: list[str] = []
    quoted = ""
    for line in words.splitlines():
        if quoted or _QUOTED_START.match(line):
            quoted += line
            if quoted.endswith("=") and len(quoted) < 65536:
                quoted = quoted[:-1]
                continue
            lines.append(decode_bytes(quopri.decodestring(quoted.encode("utf-8", "replace"))))
            quoted = ""
        else:
            lines.append(line)
    return _CARD_ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], "\n".join([*lines, quoted]))
