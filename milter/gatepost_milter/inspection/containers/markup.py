"""Owns the words of documents that are zip files: OOXML and OpenDocument, by a scan of tags.

What a member is, its root element says, not its name: a document may call its pages what it likes. No entity is
ever expanded, no document type is read, and each character is taken once (ECMA-376, OpenDocument 1.3).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from gatepost_milter.inspection.containers.extent import Extent

Member = tuple[str, Callable[[], Iterable[bytes]]]

MAX_CELLS = 200_000
_HEAD = 2048
_GAP = 64  # empty cells between two that are kept as such

_TAG = re.compile(r"<(/?)([^\s<>/!?]++)([^<>]*+)>")
_ROOT = re.compile(r"<(?:[A-Za-z_][\w.-]{0,60}:)?([A-Za-z_][\w.-]{0,60})[\s>/]")
_ATTRIBUTE = re.compile(r"([\w.-]{1,80})\s{0,9}=\s{0,9}(?:\"([^\"<]*+)\"|'([^'<]*+)')")
# A cell as every program writes it, with its value alone; any other cell, with all in it; the end of a row.
_ROW_OR_CELL = re.compile(
    r"<(?:[\w.-]{1,40}:)?c((?:\s[^<>]*+)?)(?<!/)>"
    r"(?:(?:<v>|<is><t>)([^<]*+)(?:</v>|</t></is>)</c>|((?:[^<]++|<(?!/(?:[\w.-]{1,40}:)?c>))*+))"
    r"|</(?:[\w.-]{1,40}:)?row>"
)
_REFERENCE = re.compile(r"\br\s?=\s?[\"']([A-Z]{1,3})\d")
_SHARED = re.compile(r"\bt\s?=\s?[\"']s[\"']")
_MARKUP_ENDS = (".xml", ".rels", ".vml", ".fods", ".fodt")

# Elements whose text is words, and what else matters for the layout of words, by local name (OOXML).
_WORDS = frozenset({"t", "delText", "instrText", "text"})
_BREAKS = frozenset({"br", "cr", "tr", "tbl", "comment", "txBody", "sp", "pt"})


def read(members: Iterable[Member], extent: Extent) -> str:
    """What a person reads in the document. Hidden sheets, notes, comments and deleted words are read as well."""
    sheets: list[tuple[str, str]] = []
    flowing: list[str] = []
    strings: list[str] = []
    titles: list[str] = []
    for name, pieces in members:
        if not name.lower().endswith(_MARKUP_ENDS):
            continue
        if extent.over():
            break
        source = _decoded(extent.gather(pieces()))
        root = _root(source)
        if root == "worksheet":
            sheets.append((name, source))
        elif root == "sst":
            strings = list(_strings(source))
        elif root == "workbook":
            titles = [each.get("name", "") for each in _attributes_of("sheet", source)]
        elif root in ("document-content", "document-styles", "document") and _is_open_document(source):
            flowing.append(extent.keep(_open_document(source, extent)))
        elif root not in ("Relationships", "Types", "theme", "styleSheet", "styles"):
            flowing.append(extent.keep(_flowing(source, extent)))
    lines = [extent.keep("\t".join(titles) + "\n")] if titles else []
    for _, source in sheets:
        lines.append(extent.keep(_sheet(source, strings, extent)))
    return "\n".join(each.rstrip("\n") for each in (*lines, *flowing) if each.strip())


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        source = data.decode("utf-16", "replace")
    else:
        source = data.decode("utf-8", "replace")
    if "<![CDATA[" in source:
        first, *others = source.split("<![CDATA[")
        pairs = [each.partition("]]>") for each in others]
        source = first + "".join(html.escape(words, quote=False) + rest for words, _, rest in pairs)
    return source


def _root(source: str) -> str:
    found = _ROOT.search(source[:_HEAD])
    return found[1] if found else ""


def _is_open_document(source: str) -> bool:
    return "opendocument" in source[: 4 * _HEAD] or "oasis" in source[: 4 * _HEAD]


def _plain(words: str) -> str:
    return html.unescape(words) if "&" in words else words


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _attributes(source: str) -> dict[str, str]:
    """Attributes by local name."""
    return {found[1]: _plain(found[2] or found[3] or "") for found in _ATTRIBUTE.finditer(source)}


def _attributes_of(wanted: str, source: str) -> Iterator[dict[str, str]]:
    for tag in _TAG.finditer(source):
        if _local(tag[2]) == wanted and not tag[1]:
            yield _attributes(tag[3])


def _flowing(source: str, extent: Extent) -> str:
    """The words of pages, slides, notes and drawings: one line for each paragraph or row of a table."""
    out: list[str] = []
    cells = 0
    last = None
    for count, tag in enumerate(_TAG.finditer(source)):
        if not count % 4096 and extent.over():
            break
        closing, name = tag[1], _local(tag[2])
        if last is not None:
            out.append(_plain(source[last : tag.start()]))
            last = None
        empty = tag[3].endswith("/")
        if name in _WORDS:
            if not closing and not empty:
                last = tag.end()
        elif name == "tab" and not closing:
            out.append("\t")
        elif name == "tc":
            cells += 0 if empty else -1 if closing else 1
            if closing:
                out.append("\t")
        elif (name == "p" and closing) or (name == "br" and not closing):
            out.append(" " if cells > 0 else "\n")
        elif name in _BREAKS and closing:
            out.append("\n")
            cells = max(cells, 0)
    return _tidy("".join(out))


_SPACE_TAB = re.compile(r" *\t *")
_EMPTY_LINES = re.compile(r"[ \t]*+\n\s*+")


def _tidy(words: str) -> str:
    return _EMPTY_LINES.sub("\n", _SPACE_TAB.sub("\t", words)).strip("\n ")


def _strings(source: str) -> Iterator[str]:
    """The shared strings of a workbook, in order."""
    out: list[str] = []
    last = None
    for tag in _TAG.finditer(source):
        closing, name = tag[1], _local(tag[2])
        if last is not None:
            out.append(_plain(source[last : tag.start()]))
            last = None
        if name == "t" and not closing and not tag[3].endswith("/"):
            last = tag.end()
        elif name == "si" and (closing or tag[3].endswith("/")):
            yield " ".join("".join(out).split())
            out.clear()


def _sheet(source: str, strings: list[str], extent: Extent) -> str:
    """The rows of a worksheet: strings and numbers as they are stored, in their columns."""
    rows: list[str] = []
    row: list[str] = []
    cells = 0
    for found in _ROW_OR_CELL.finditer(source):
        attributes, value, rest = found.groups()
        if attributes is None:
            rows.append("\t".join(row))
            row.clear()
            if cells > MAX_CELLS or (not len(rows) % 256 and extent.over()):
                extent.cut = True
                break
            continue
        words = _plain(value) if rest is None else "".join(_text_nodes(rest))
        if words:
            cells += 1
            reference = _REFERENCE.search(attributes)
            gap = _column(reference[1]) - len(row) if reference else 0
            if gap > 0:
                row += [""] * min(gap, _GAP)
            row.append(_shared(words, strings) if _SHARED.search(attributes) else " ".join(words.split()))
    return "\n".join([*(each for each in rows if each), "\t".join(row)]) + "\n"


def _text_nodes(source: str) -> Iterator[str]:
    """What stands in values and texts, not in formulas."""
    last = None
    for tag in _TAG.finditer(source):
        if last is not None:
            yield _plain(source[last : tag.start()])
            last = None
        if _local(tag[2]) in ("v", "t") and not tag[1] and not tag[3].endswith("/"):
            last = tag.end()


@lru_cache(maxsize=1024)
def _column(letters: str) -> int:
    """The column's number, from 0."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _shared(value: str, strings: list[str]) -> str:
    try:
        return strings[int(value)] if int(value) >= 0 else ""
    except (ValueError, IndexError):
        return ""


def _open_document(source: str, extent: Extent) -> str:
    """The words of an OpenDocument file: text, sheets, presentation alike."""
    out: list[str] = []
    position = 0
    cells = 0
    number: str | None = None  # what stands in a cell as a number counts, not how the cell shows it
    start = 0
    body = False
    for count, tag in enumerate(_TAG.finditer(source)):
        if not count % 4096 and (extent.over() or count > 16 * MAX_CELLS):
            extent.cut = True
            break
        closing, name, empty = tag[1], _local(tag[2]), tag[3].endswith("/")
        if body:
            words = source[position : tag.start()]
            if words and not words.isspace():
                out.append(_plain(words))
        position = tag.end()
        if name in ("body", "master-styles"):
            body = not closing
        elif name == "table" and not closing:
            out.append("\n" + _attributes(tag[3]).get("name", "") + "\n")
        elif name in ("table-cell", "covered-table-cell"):
            if not closing:
                number, start = _number(tag[3]), len(out)
                cells += 0 if empty else 1
            if closing or empty:
                cells -= 0 if empty else 1
                if number is not None:
                    out[start:] = [number]
                    number = None
                out.append("\t")
        elif name in ("tab", "s") and not closing:
            out.append(" " if name == "s" else "\t")
        elif (name in ("p", "h") and closing) or name == "line-break":
            out.append(" " if cells > 0 else "\n")
        elif name in ("table-row", "page") and closing:
            out.append("\n")
    return _tidy("".join(out))


def _number(attributes: str) -> str | None:
    if "value-type" not in attributes:
        return None
    found = _attributes(attributes)
    return found.get("value") if found.get("value-type") == "float" else None
