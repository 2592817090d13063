"""Owns web pages and SVG pictures as carriers: files in data: URLs, in strings of script, and built by script.

A page that smuggles a file shows the mail system only text; the browser puts the file together. What can be
decoded without running anything is decoded and examined; a script that builds a file from what cannot is told.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from gatepost_milter.inspection.containers.walk import Family, File, LimitError, Walk, inflate
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

_READ = 24 * 1024 * 1024
_NAMES = frozenset(
    {"htm", "html", "shtml", "shtm", "xhtml", "xht", "svg", "mht", "mhtml", "hta", "xml", "js", "jse"}
)
_TAG = re.compile(rb"(?i)<(?:!doctype html|html|head|body|script|svg|iframe|a|meta|embed|object)\b")
_DATA_URL = re.compile(
    rb"(?i)data:([a-z0-9.+-]{1,80}/[a-z0-9.+-]{1,80})?((?:;[^,;\"'\s]{1,80}){0,5}),\s{0,20}([^\"'\s<>)]{16,}"
    rb"(?:[ \t]{0,20}\r?\n[ \t]{0,20}[A-Za-z0-9+/=%_-]{4,})*)"
)
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{120,}={0,2}(?![A-Za-z0-9+/=])")
_JOINED = re.compile(rb"[\"'`]\s*\+\s*[\"'`]|\\\r?\n")
_HEX = re.compile(rb"(?i)(?<![0-9a-f])(?:[0-9a-f]{2}){100,}(?![0-9a-f])")
_ESCAPED = re.compile(rb"(?i)(?:\\x[0-9a-f]{2}){60,}|(?:%[0-9a-f]{2}){60,}")
_NUMBERS = re.compile(
    rb"\[\s*((?:(?:0x[0-9a-fA-F]{1,2}|\d{1,3})\s*,\s*){60,}(?:0x[0-9a-fA-F]{1,2}|\d{1,3}))\s*,?\s*\]"
)
_SHOWN = (b"image/png", b"image/jpeg", b"image/gif", b"font/", b"application/font")
_MOST = 400

# A script that makes a file needs bytes, an object to hold them, and a way to give it to the reader.
_BYTES = re.compile(
    rb"(?i)\batob\s*\(|fromCharCode|Uint8Array|TextEncoder|unescape\s*\(|decodeURIComponent\s*\(|charCodeAt"
)
_HOLD = re.compile(
    rb"(?i)new\s+(?:Blob|File)\s*\(|\[\s*[\"']Blob[\"']\s*\]|createObjectURL|msSaveOrOpenBlob|msSaveBlob"
)
_GIVE = re.compile(
    rb"(?i)\.download\s*=|setAttribute\s*\(\s*[\"']download|[\"']download[\"']|msSave(?:OrOpen)?Blob"
    rb"|\.click\s*\(\s*\)|location(?:\.href)?\s*=|window\.open\s*\("
)
_SVG_SCRIPT = re.compile(
    rb"(?i)<(?:\w+:)?script\b|\son(?:load|click|error|begin|mouseover|activate)\s*=|javascript\s*:"
)
_SCRIPT_TAG = re.compile(rb"(?i)<(?:\w{1,40}:)?script\b")
_RUNS = re.compile(
    rb"(?i)(?:CreateObject|ActiveXObject)\s*\(\s*[\"'](?:WScript\.|Shell\.|Scripting\.FileSystem|ADODB\.Stream|InternetExplorer\.)"
)
_PROTOCOL = re.compile(rb"(?i)[\"'(=\s](?:ms-msdt|search-ms|ms-search|ms-officecmd|ms-appinstaller):")
_FLAT_CODE = re.compile(
    rb"<(?:\w{1,40}:)?source-code\b[^>]{0,200}[^/]>\s*[^<\s]|<(?:\w{1,40}:)?source-code>\s*[^<\s]"
)
_PAGE_NAMES = frozenset({"htm", "html", "shtml", "shtm", "xhtml", "xht", "hta"})
# What Office packs the macros of a page or an XML file into: a mark, a head, a compound file in zlib.
_COMPOUND = b"\xd0\xcf\x11\xe0"
_ACTIVE_MIME = b"ActiveMime"
_ACTIVE_MIME_BASE64 = re.compile(rb"QWN0aXZlTWltZ[A-Za-z0-9+/]{3,}(?:\s{1,20}[A-Za-z0-9+/]+)*")


def knows(file: File) -> bool:
    """Said or seen to be HTML, SVG or XML."""
    if file.mime in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"):
        return True
    if file.claimed.lower() in ("text/html", "image/svg+xml", "application/xhtml+xml"):
        return True
    if file.extensions() & _NAMES and file.mime.startswith(("text/", "application/xml", "application/javascript")):
        return True
    if file.extensions() & _PAGE_NAMES:
        return True  # a browser goes by the name, and skips what it cannot read
    return bytes(file.data[:10]) == _ACTIVE_MIME or (
        file.mime.startswith("text/") and _TAG.search(bytes(file.data[:2048])) is not None
    )


def open_(walk: Walk, file: File) -> None:
    """Hand over the files that are written into the page, and mark scripts that make one."""
    text = bytes(file.data[:_READ])
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.decode("utf-16", "replace").encode("utf-8")
    if text.startswith(_ACTIVE_MIME):
        _active_mime(walk, file, text)
        return
    if b"<svg" in text[:4096].lower() and _SVG_SCRIPT.search(text) and b"<html" not in text[:4096].lower():
        file.mark(FileClass.SCRIPT, "a picture that holds script")
    if _BYTES.search(text) and _HOLD.search(text) and _GIVE.search(text):
        file.mark(FileClass.SCRIPT, "its script builds a file")
    if _SCRIPT_TAG.search(text) and _RUNS.search(text):
        file.mark(FileClass.SCRIPT, "its script runs programs")
    if _PROTOCOL.search(text):
        file.mark(FileClass.SHORTCUT, "a link in it starts a program of Windows")
    if b"source-code" in text and _FLAT_CODE.search(text):
        file.mark(FileClass.MACRO, "it holds macros")
    for count, (name, content) in enumerate(_carried(text)):
        if count >= _MOST:
            raise LimitError("it holds more files than are opened")
        walk.unpack(file, [content], raw_names=[name], quiet=True)
    if len(file.data) > _READ:
        file.mark(FileClass.OPAQUE, "it is too long to be read whole")


def _active_mime(walk: Walk, file: File, text: bytes) -> None:
    """Look at the compound file that is packed in ActiveMime; what cannot be unpacked counts as macros."""
    start = text.find(b"\x78", len(_ACTIVE_MIME), 4096)

    def told(data: Buffer, member: File | None) -> None:
        if bytes(data[:4]) != _COMPOUND or (member and FileClass.MACRO in member.classes):
            file.mark(FileClass.MACRO, "it holds macros (ActiveMime)")

    if start < 0:
        file.mark(FileClass.MACRO, "it holds macros (ActiveMime)")
    else:
        walk.unpack(file, inflate(text, start=start, window=15), raw_names=["macros"], quiet=True, look=told)


def _carried(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Whatever in the text decodes to something that is not text, or that a type or a script gives a kind."""
    for found in _DATA_URL.finditer(text):
        packed = b"base64" in found[2].lower()
        if (found[1] or b"").lower().startswith(_SHOWN) and packed and _opens_as_said(found[3]):
            continue
        raw = unquote_to_bytes(found[3])
        content = _base64(raw) if packed else raw
        yield "data URL", content
    for found in _ACTIVE_MIME_BASE64.finditer(text):
        yield "macros of Office", _base64(found[0])
    joined = _JOINED.sub(b"", text)
    for source in (text, joined) if joined != text else (text,):
        for found in _BASE64.finditer(source):
            content = _base64(found[0])
            if _telling(content):
                yield "base64 in script", content
            elif _telling(content[::-1]):
                yield "base64 in script", content[::-1]
        for found in _HEX.finditer(source):
            content = bytes.fromhex(found[0].decode("ascii"))
            if _telling(content):
                yield "hexadecimal in script", content
    for found in _ESCAPED.finditer(text):
        content = bytes.fromhex(re.sub(rb"(?i)\\x|%", b"", found[0]).decode("ascii"))
        if _telling(content):
            yield "escaped bytes in script", content
    for found in _NUMBERS.finditer(text):
        values = [
            int(each, 0) if each.startswith(b"0x") else int(each) for each in re.split(rb"\s*,\s*", found[1])
        ]
        if max(values) < 256 and _telling(bytes(values)):
            yield "numbers in script", bytes(values)


_STARTS = (
    b"MZ", b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"MSCF", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x7fELF",
    b"\xd0\xcf\x11\xe0", b"L\0\0\0\x01\x14\x02", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"{\\rt", b"%PDF",
    b"ITSF", b"conectix", b"vhdxfile", b"\x78\x9f\x3e\x22", b"\xe4\x52\x5c\x7b", b"[InternetShortcut]", b"#!/",
)  # fmt: skip
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"wOFF", b"wOF2", b"\0\x01\0\0", b"OTTO")
_MARKUP = re.compile(
    rb"(?i)\A\s*<(?:!doctype|html|script|svg|\?xml|hta|job|package)\b|CreateObject\s*\(|WScript\."
)


def _telling(content: bytes) -> bool:
    """Whether decoded bytes start as a file does, or are markup or script again."""
    return (
        content.startswith(_STARTS)
        or content[32769:32774] == b"CD001"
        or _MARKUP.search(content[:4096]) is not None
    )


def _opens_as_said(encoded: bytes) -> bool:
    return _base64(encoded[:32]).startswith(_PICTURES)


def _base64(data: bytes) -> bytes:
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", data.translate(bytes.maketrans(b"-_", b"+/")))
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


FAMILY = Family(name="web page", knows=knows, open=open_)
