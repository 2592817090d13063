"""Owns bytes that are meant as words: charsets, and RFC 2047 encoded words, as mail clients read them."""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache

# Codecs that Python calls text encodings, but that no mail client knows as a charset; some are slow on input made
# for it, and ``undefined`` always raises.
_NOT_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"})

# Names that senders use and Python does not know, and the wider charsets that browsers and clients really use.
_ALIASES = {
    "ascii": "windows-1252",
    "us-ascii": "windows-1252",
    "iso-8859-1": "windows-1252",
    "iso8859-1": "windows-1252",
    "latin1": "windows-1252",
    "latin-1": "windows-1252",
    "ansi_x3.4-1968": "windows-1252",
    "unicode-1-1-utf-7": "utf-7",
    "utf8": "utf-8",
    "x-utf-8": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "iso-8859-8-i": "iso-8859-8",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
}

_WORD = re.compile(r"=\?([^?\s]{1,80})\?([BbQq])\?([^?]*)\?=")
_BETWEEN = re.compile(r"(\?=)[ \t\r\n]+(?==\?[^?\s]{1,80}\?[BbQq]\?)")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


@lru_cache(maxsize=512)
def charset_codec(charset: str) -> str | None:
    """Python's name for a charset as a message spells it, None when nobody knows it."""
    name = charset.strip(" \t\r\n\"'").lower()
    name = _ALIASES.get(name, name)
    if not re.fullmatch(r"[a-z0-9._:+-]{1,40}", name) or name.replace("-", "_") in _NOT_CHARSETS:
        return None
    try:
        codec = codecs.lookup(name)
    except LookupError:
        return None
    return codec.name if codec._is_text_encoding else None


def decode_bytes(data: bytes, charset: str = "") -> str:
    """``data`` in its charset; when that is unknown or does not fit, as UTF-8, and else as Windows-1252."""
    codec = charset_codec(charset) if charset else None
    if codec is not None:
        if codec == "utf-7":
            # The only charset that can spell half a surrogate pair, which nothing could write down again.
            return data.decode(codec, "replace").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        try:
            return data.decode(codec)
        except (UnicodeError, ValueError):
            if codec != "utf-8":
                return data.decode(codec, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("windows-1252", "replace")


def decode_words(value: str) -> str:
    """``value`` with its RFC 2047 encoded words read, wherever they stand (clients do, also inside quotes)."""
    if "=?" not in value:
        return value
    return _WORD.sub(_decode_word, _BETWEEN.sub(r"\1", value))


def _decode_word(match: re.Match[str]) -> str:
    charset = match[1].partition("*")[0]
    content = match[3].encode("utf-8", "surrogateescape")
    if match[2] in "Qq":
        data = _HEX.sub(lambda hexed: bytes([int(hexed[1], 16)]), content.replace(b"_", b" "))
    else:
        content = re.sub(rb"[^A-Za-z0-9+/]", b"", content)
        content = content[: len(content) - (len(content) % 4 == 1)]
        data = binascii.a2b_base64(content + b"=" * (-len(content) % 4))
    return decode_bytes(data, charset)
