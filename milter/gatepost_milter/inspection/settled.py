"""Owns which messages need no inspector: those whose files are pictures or noise in which nothing could be opened.

The worker decodes such files and compares their bytes with marks. It parses nothing of them, and it gives an
answer only where an inspector would give the same; in any doubt it gives none, and the inspector is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gatepost_milter.inspection import detect, encodings, marks, sight
from gatepost_milter.inspection.model import Attachment, FileClass, Leaf
from gatepost_milter.inspection.wire import whole

# Letters of a file that are decoded and searched at a time: so few that they stay in the processor's cache, that
# no other message waits for them, and that a large file takes no more memory than a small one.
_PIECE = 256 * 1024
_GLIMPSE = 8192  # letters that tell most files that have to be opened
_FRONT = 72 * 1024  # bytes of a file within which ``detect`` looks for marks at their places
_BACK = marks.ZIP_TAIL  # the same, before its end

_CLAIMS = frozenset({
    "application/octet-stream", "image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/x-png", "image/gif",
})  # fmt: skip
_TYPES = frozenset({"application/octet-stream", "image/jpeg", "image/png", "image/gif"})

# Names by which files are opened, or missed as unread, whatever is in them.
_BY_NAME = frozenset({
    "eml", "mht", "mhtml", "mim", "mime", "nws", "emlx", "mbox", "mbx", "htm", "html", "shtml", "shtm", "xhtml",
    "xht", "hta", "svg", "svgz", "b64", "base64", "lzma", "tlz", "tar", "hqx", "bhx", "xxe", "gpg", "pgp", "doc",
    "dot", "xls", "xlt", "xlsb", "ppt", "pps", "pub", "one", "pages", "numbers", "key",
})  # fmt: skip
_LONGEST_NAME = 255

_NEAR_THE_FRONT = (b"%PDF", b"ustar")


def attachments(data: marks.Buffer, leaves: Sequence[Leaf]) -> tuple[Attachment, ...] | None:
    """What an inspector would answer about ``leaves`` of the message ``data``, None when it has to be asked.

    No more bytes are looked at than the message has: readings that give the same ones to many files are for an
    inspector, whom a deadline stops.
    """
    if sum(leaf.end - leaf.start for leaf in leaves) > len(data) or not all(map(_may_settle, leaves)):
        return None
    if len(leaves) > 1 and not all(_common(_glimpse(data, leaf)) for leaf in leaves):
        return None  # before a large picture is looked at for nothing
    found = []
    for leaf in leaves:
        try:
            attachment = _look(data, leaf)
        except encodings.FaultyError:
            attachment = None
        if attachment is None:
            return None
        found.append(attachment)
    return tuple(found)


def _may_settle(leaf: Leaf) -> bool:
    """Whether what the message says of a file leaves nothing to look for but its bytes."""
    return (
        leaf.encoding == "base64"
        and leaf.claimed in _CLAIMS
        and all(len(name) <= _LONGEST_NAME and name.isprintable() and _is_indifferent(name) for name in leaf.names)
    )


def _is_indifferent(name: str) -> bool:
    _, dot, extension = name.lower().rpartition(".")
    return not dot or (
        extension not in _BY_NAME and not extension[-1:].isdigit()
    )  # volumes of archives are numbered


def _glimpse(data: marks.Buffer, leaf: Leaf) -> bytes:
    """The first bytes of a file, none if they are not faultless."""
    try:
        return next(encodings.faultless(data, leaf.start, leaf.end, piece=_GLIMPSE), b"")
    except encodings.FaultyError:
        return b""


def _common(head: bytes) -> tuple[str, str] | None:
    """The media type and the words for a file that begins with ``head``, None if it is no picture and no noise.

    None also where the beginning says at which place of the file to look further: a partition table does, and a
    program behind the ends of lines.
    """
    seen = sight.opinion(head)
    if (
        seen is None
        or seen[0] not in _TYPES
        or any(mark in head[:1024] for mark in _NEAR_THE_FRONT)
        or head.startswith((b"\r", b"\n"))
        or head[510:512] == b"\x55\xaa"
    ):
        return None
    return seen


def _look(data: marks.Buffer, leaf: Leaf) -> Attachment | None:
    """What a file is that begins as pictures or noise do and in which nothing is marked; None for any other.

    Raises FaultyError if its encoding is not faultless.
    """
    pieces = encodings.faultless(data, leaf.start, leaf.end, piece=_PIECE)
    head = next(pieces, b"")
    seen = _common(head)
    read = _read(head, pieces) if seen else None
    if read is None:
        return None
    content, size = read
    nature = detect.identify(content, leaf.names, seen=seen)
    if nature.classes != {FileClass.PLAIN}:
        return None
    return replace(
        whole(leaf),
        detected=nature.mime,
        description=nature.description,
        size=size,
        classes=nature.classes,
        tier=nature.tier,
        reason=nature.reason,
    )


def _read(head: bytes, pieces: Iterator[bytes]) -> tuple[bytes, int] | None:
    """A file with its middle left out, and its whole size; None if something behind its beginning is marked.

    What is left has the bytes at which ``detect`` looks where it looks for them: from the start, or from the end.
    """
    size, before, tail = 0, b"", b""
    piece: bytes | None = head
    while piece is not None:
        if size < marks.FAR + marks.LONGEST:
            seam = before + piece[: marks.LONGEST - 1]
            if marks.archive(seam, 0, len(seam)) or marks.archive(piece, 0, len(piece)):
                return None
            before = piece[1 - marks.LONGEST :]
        if size and len(head) < _FRONT:
            head += piece
        elif size:
            tail = piece if len(piece) >= _BACK else (tail + piece)[-_BACK:]
        size += len(piece)
        piece = next(pieces, None)
    content = head + tail
    if marks.find(content, marks.ZIP_END, max(0, len(content) - _BACK), len(content)) >= 0:
        return None
    return content, size
