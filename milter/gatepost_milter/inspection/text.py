"""Owns text as a person sees it: text parts out of their encoding and charset, and HTML without what is not shown.

The HTML reader takes each character once, whatever the input: the standard library's parser does not promise that.
"""

from __future__ import annotations

import html
import re

from gatepost_milter.inspection.encodings import decode
from gatepost_milter.inspection.words import charset_codec, decode_bytes

MAX_TEXT = 1024 * 1024  # bytes of one part, as they stand in the message, that are made into text

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_BYTE_ORDER = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:_-]*)")
# The rest of a tag as browsers read it (HTML standard, tokenisation): a quote opens a value only behind "=", and
# is part of a name anywhere else. A quote that never closes is taken for a part of a name too.
_TAG_END = re.compile(
    r"(?:[\s/]*+[^\s/>][^\s/>=]*+"
    r"(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s>\"'][^\s>]*+|(?=>)))?+)*+[\s/]*+>"
)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_SPACES = re.compile(r" {2,}")
# A run of blanks is entered at its start only, so that it is read once.
_LINES = re.compile(r"(?<![ \t])[ \t]*+\n(?:[ \t]*+\n)*+[ ]*+\t?[ ]*+")
_CELLS = re.compile(r" ?\t ?")
_INVISIBLE = re.compile(
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0(?![.\d])"
    r"|(?<![\w-])opacity\s*:\s*0(?![.\d])|max-height\s*:\s*0(?![.\d]))|\shidden(?=[\s>=/])",
    re.IGNORECASE,
)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)

_SKIPPED = frozenset({"script", "style", "template", "title", "noscript", "xml", "select"})
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})  # fmt: skip
_BLOCK = frozenset({
    "address", "article", "aside", "blockquote", "br", "center", "dd", "div", "dl", "dt", "fieldset", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip


def make(raw: bytes, encoding: str, charset: str, *, is_html: bool) -> str:
    """The text of a part from its bytes in the message. An unknown or wrong charset is read as well as can be."""
    written = source(raw, encoding, charset, is_html=is_html)
    return shown(written) if is_html else written


def source(raw: bytes, encoding: str, charset: str, *, is_html: bool) -> str:
    """The text of a part as it is written: HTML with its markup."""
    data = decode(raw, encoding)[0][1]
    return _decode_text(data, charset or (_stated_charset(data) if is_html else ""))


def _decode_text(data: bytes, charset: str) -> str:
    for mark, codec in _BYTE_ORDER:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    return decode_bytes(data, charset).replace("\r\n", "\n")


def _stated_charset(data: bytes) -> str:
    stated = _META_CHARSET.search(data, 0, 4096)
    charset = stated[1].decode("ascii", "replace") if stated else ""
    # A page that could state its charset in ASCII letters is not in UTF-16, whatever it says.
    return charset if charset_codec(charset) not in (None, "utf-16", "utf-16-le", "utf-16-be") else ""


def shown(source: str) -> str:
    """HTML as a person sees it: no scripts, styles, comments and hidden elements; one line for each block.

    The cells of a table's row stand apart by tabs, so that a heading can be told from what stands under it.
    """
    out: list[str] = []
    position, size = 0, len(source)
    hidden = ""  # the element that hides what stands in it, and how deep it is nested in its own kind
    depth = 0
    quotes_close = True
    while position < size:
        start = source.find("<", position)
        stop = start if start >= 0 else size
        if stop > position and not hidden:
            out.append(_SPACE.sub(" ", html.unescape(source[position:stop])))
        if start < 0:
            break
        tag = _TAG.match(source, start)
        if tag is None:
            position, literal = _past_markup(source, start)
            if literal and not hidden:
                out.append("<")
            continue
        end = _TAG_END.match(source, tag.end()) if quotes_close else None
        if end is None:
            # A quote that never closes: later tags need not be searched for one again.
            quotes_close = False
            close = source.find(">", tag.end())
            position = close + 1 if close >= 0 else size
        else:
            position = end.end()
        name, closing = tag[2].lower(), bool(tag[1])
        attributes = source[tag.end() : min(position, tag.end() + 4096)]
        if hidden:
            if name == hidden:
                depth += -1 if closing else 1
                hidden = hidden if depth else ""
            continue
        if not closing and name in _SKIPPED:
            position = _past_element(source, position, name)
        elif not closing and name not in _VOID and _INVISIBLE.search(attributes):
            hidden, depth = name, 1
        elif name in _BLOCK:
            out.append("\n")
        elif name in ("td", "th"):
            out.append("" if closing else "\t")
        elif name == "img" and (alt := _ALT.search(attributes)):
            out.append(html.unescape(alt[1] or alt[2] or alt[3] or ""))
    return _LINES.sub("\n", _CELLS.sub("\t", _SPACES.sub(" ", "".join(out)))).strip()


def _past_markup(source: str, start: int) -> tuple[int, bool]:
    """Where reading goes on after a ``<`` that opens no tag, and whether it is a character to show."""
    if source.startswith("<!--", start):
        end, length = source.find("-->", start + 2), 3
    elif source[start + 1 : start + 2] in ("!", "?", "/"):
        end, length = source.find(">", start), 1
    else:
        return start + 1, True
    return (end + length if end >= 0 else len(source)), False


def _past_element(source: str, position: int, name: str) -> int:
    """The end of an element whose content is not shown; without an end tag, the end of all."""
    end = re.compile(f"</{name}[^>]*>", re.IGNORECASE).search(source, position)
    return end.end() if end else len(source)
