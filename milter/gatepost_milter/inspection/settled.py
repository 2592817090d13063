"""Owns which messages need no inspector: those whose files are pictures or noise in which nothing could be opened.

The worker decodes such files and compares their bytes with marks. It parses nothing of them, and it gives an
answer only where an inspector would give the same; in any doubt it gives none, and the inspector is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gatepost_milter.inspection import detect, encodings, marks, sight
from gatepost_milter.inspection.model import Attachment, FileClass, Leaf
from gatepost_milter.inspection.wire import whole

_MOST = 1024 * 1024  # bytes of all files, still encoded: while they are looked at, other messages may wait

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

# The marks of archives and zip directories that are found behind other data.
_BEHIND = (b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"MSCF\0\0\0\0")


def attachments(data: sight.Buffer, leaves: Sequence[Leaf]) -> tuple[Attachment, ...] | None:
    """What an inspector would answer about ``leaves`` of the message ``data``, None when it has to be asked."""
    if sum(leaf.end - leaf.start for leaf in leaves) > _MOST or not all(map(_may_settle, leaves)):
        return None
    found = []
    for leaf in leaves:
        attachment = _look(data[leaf.start : leaf.end], leaf)
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


def _look(encoded: bytes, leaf: Leaf) -> Attachment | None:
    readings = encodings.decode(encoded, leaf.encoding)
    content = readings[0][1]
    seen = sight.opinion(content)
    if len(readings) > 1 or seen is None or seen[0] not in _TYPES:
        return None
    if any(marks.find(content, mark, 0, len(content)) >= 0 for mark in _BEHIND):
        return None
    if any(mark in content[:1024] for mark in _NEAR_THE_FRONT):
        return None
    nature = detect.identify(content, leaf.names, seen=seen)
    if nature.classes != {FileClass.PLAIN}:
        return None
    return replace(
        whole(leaf),
        detected=nature.mime,
        description=nature.description,
        size=len(content),
        classes=nature.classes,
        tier=nature.tier,
        reason=nature.reason,
    )
