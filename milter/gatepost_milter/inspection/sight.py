"""Owns what the first look at some bytes tells, without asking any library: common pictures, and noise.

Noise is data as random as packed or encrypted data are, from its first byte on, in which nothing stands where a
file that anybody opens bears its mark. Whoever looks closer at it finds nothing more, only slower.
"""

from __future__ import annotations

import re

from gatepost_milter.inspection.marks import ZIP_END, Buffer

# The common and harmless, by their first bytes, in the words that people are shown.
_PICTURES = (
    (b"\xff\xd8\xff", "image/jpeg", "JPEG image"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "PNG image"),
    (b"GIF89a", "image/gif", "GIF image"),
    (b"GIF87a", "image/gif", "GIF image"),
)
_PDF = (b"%PDF-", "application/pdf", "PDF document")
_KNOWN = (*_PICTURES, _PDF)
_NOISE = ("application/octet-stream", "data")

_LEAST = 4096  # bytes; less is soon looked at
_SPREAD = ((64, 44), (1024, 240))  # of so many first bytes, how many different values there are at least

# What may begin or stand in a file that something opens or runs, or that libmagic is right to name: three letters,
# or a mark. Short forms of the marks are enough, because noise that bears one by chance is only looked at longer.
_MARK = re.compile(
    rb"(?s)[\x20-\x7e]{3}|[\0-\x06\x1a\x1f\x30\x80\x84-\x8d\x94-\x9d\xb8\xc1-\xc7\xca\xd2\xe9\xeb\xf0\xfd-\xff]"
    rb"|7z|BC|L\0|LZ|MZ|PK|Ra|ZM|\x7fE|[\x0c-\x0f]\r\n|\x13\x5d|[\x22-\x28]\xb5|\x3f\xdd|[\x50-\x5f]\x2a|\x5d\0|\x60\xea"
    rb"|\x71\xc7|[\x08\x48\x58\x68\x78][\x01\x1d\x5b\x5e\x89\x99\x9c\x9f\xd7\xda]|\x81\xfc|\x8e\x07|\x8f\xaf|\xa1\x2f"
    rb"|[\xce\xcf]\xfa|\xd0\xcf|\xdc\xa7|\xe4\x52|\xed\xab|.{2}-[lsp]|.{3}[A-Z-]{3}|.{4}[A-Za-z]{4}|.{6}\xfc\x57\xf3"
    rb"|.{7}(?:\*\*ACE|-sqx-)|.{32}NXSB|.{60}W[ ]Coll|.{252}Must|.{257}ustar|.{369}MICRO|.{500}\0{8}"
    rb"|.{1024}(?:BD|H[+X])|.{1080}\x53\xef"
)
_EVERY = bytes(range(256))
_CALLS_DOS = b"\xcd\x21"


def opinion(data: Buffer) -> tuple[str, str] | None:
    """The media type and the words for ``data``, None when a closer look is needed."""
    head = bytes(data[:_LEAST])
    for start, mime, description in _KNOWN:
        if head.startswith(start):
            return mime, description
    return _NOISE if is_noise(data) else None


def is_noise(data: Buffer) -> bool:
    """Whether ``data`` are noise."""
    head = bytes(data[: 4 * _LEAST])
    if len(head) < _LEAST or _MARK.match(head) or _CALLS_DOS in head[:80] or ZIP_END in head:
        return False
    # What is deleted from a list of all values is counted ten times as fast as what a set gathers.
    return all(256 - len(_EVERY.translate(None, head[:size])) >= least for size, least in _SPREAD)
