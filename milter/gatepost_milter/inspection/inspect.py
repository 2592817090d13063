"""Owns the second step of a message: inspect. The bytes become an Inspection.

The worker itself only reads structure and text; what could be a file goes to an inspector process.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from gatepost_config import settings
from gatepost_milter.inspection import clamd, encodings, reader, recipients, settled, text
from gatepost_milter.inspection.filetypes import strictest
from gatepost_milter.inspection.headers import Buffer
from gatepost_milter.inspection.inspectors import Examined
from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Inspection, Leaf, Text
from gatepost_milter.inspection.wire import place, whole
from gatepost_milter.spool import Spool

_WHOLE = 256 * 1024  # bytes of an encoded text that the worker decodes itself to look at
_HEAD = 4096  # bytes of other text that it looks at

_MAGIC = re.compile(
    rb"\s{0,16}(?:MZ|PK|Rar!|7z\xbc|\x7fELF|%PDF|\{\\rtf|#!|MSCF|ITSF|L\x00\x00|\xd0\xcf\x11|\x1f\x8b|\x78\x9f\x3e"
    rb"|BZh|\xfd7zXZ|\xca\xfe|\xcf\xfa|\xfe\xed|\xce\xfa|!<arch|<job|<\?xml|TVqQ|TVpQ|UEsDB|=ybegin|begin[ -])"
)

# Kinds of text that may carry files, though they have no name, and how they say so.
_CARRIERS = frozenset({"text/calendar", "text/vcard", "text/x-vcard", "text/directory"})
_CARRIES = re.compile(rb"(?i);ENCODING=[\"']?B")

# What an HTML page needs to make a file, run something, or bring another page along.
_ACTIVE = (
    b"<script", b"data:", b"script:", b"<object", b"<embed", b"<iframe", b"srcdoc", b"<svg", b"download",
    b"http-equiv=\"refresh", b"&#100;", b"&#x64;", b"onload", b"onerror",
)  # fmt: skip


class Examiner(Protocol):
    """What opens leaves: the pool of inspector processes."""

    def examine(
        self,
        content: Spool,
        leaves: Sequence[Leaf],
        *,
        limits: settings.Inspection,
        deadline: float,
        hashes: bool,
        texts: bool = False,
    ) -> Examined:
        """Open the leaves to the bottom within ``deadline`` seconds."""
        ...


def inspect(
    content: Spool,
    *,
    inspectors: Examiner,
    limits: settings.Inspection,
    deadline: float,
    hashes: bool = False,
    texts: bool = False,
) -> Inspection:
    """Inspect a message within ``deadline`` seconds.

    With ``hashes`` attachments carry their SHA-256; with ``texts`` the words of files are read as well, not only
    those of the message. Never raises on message content. Raises what ``inspectors.examine`` raises when no
    inspector can be had.
    """
    started = time.perf_counter()
    scanner = clamd.Scan(limits.clamd, seconds=min(limits.clamd_deadline, deadline)) if limits.clamd else None
    with content.view() as data:
        reading = reader.read(data, max_parts=limits.parts, until=time.monotonic() + deadline / 2)
        leaves = _to_examine(data, reading)
        own_texts, defects = _texts(data, reading)
        forwarded = [_forwarded(data, leaf, hashes=hashes) for leaf in reading.messages]
        known = None if hashes else settled.attachments(data, leaves)
    if scanner is not None:
        scanner.send(content)
    examined = Examined(attachments=known or ())
    try:
        if known is None:
            left = max(deadline - (time.perf_counter() - started), 0.001)
            examined = inspectors.examine(
                content, leaves, limits=limits, deadline=left, hashes=hashes, texts=texts
            )
        if scanner is not None:
            defects = (*defects, *scanner.finish())
    finally:
        if scanner is not None:
            scanner.close()
    fields = reading.fields
    subjects, ids = fields.get("subject"), fields.get("message-id")
    return Inspection(
        size=content.size,
        subject=recipients.plain(subjects[0]) if subjects else "",
        message_id=recipients.plain(ids[0]) if ids else "",
        from_=recipients.senders(fields, "from", "From"),
        reply_to=recipients.senders(fields, "reply-to", "Reply-To") if "reply-to" in fields else (),
        recipients=recipients.visible(fields),
        automatic=recipients.is_automatic(fields),
        parts=reading.parts,
        attachments=tuple(dict.fromkeys((*examined.attachments, *forwarded))),
        texts=(*own_texts, *_of_files(examined.texts, reading)),
        defects=tuple(dict.fromkeys((*reading.defects, *defects, *examined.defects))),
        malware=scanner.malware if scanner is not None else (),
        took=time.perf_counter() - started,
    )


def _forwarded(data: Buffer, leaf: Leaf, *, hashes: bool) -> Attachment:
    """An attached message as the file that clients show it as; what is in it has been read in its place."""
    listed = strictest(leaf.names)
    return replace(
        whole(leaf),
        detected="message/rfc822",
        size=leaf.end - leaf.start,
        sha256=hashlib.sha256(data[leaf.start : leaf.end]).hexdigest() if hashes else "",
        classes=frozenset({FileClass.PLAIN}),
        tier=listed.tier if listed is not None else "",
    )


def _of_files(texts: tuple[Text, ...], reading: reader.Reading) -> tuple[Text, ...]:
    """The texts of files, without those that the message shows as its own text and that were read here."""
    if not texts:
        return ()
    shown = {place(each.leaf) for each in reading.texts}
    return tuple(each for each in texts if each.where not in shown)


def _to_examine(data: Buffer, reading: reader.Reading) -> list[Leaf]:
    """The leaves that could be files: all but texts without a name that are nothing but text."""
    shown = {id(each.leaf): each for each in reading.texts}
    leaves = []
    for leaf in reading.leaves:
        inline = shown.get(id(leaf))
        if inline is None or leaf.names or not _only_text(data, inline):
            leaves.append(leaf)
    return leaves


def _only_text(data: Buffer, inline: reader.InlineText) -> bool:
    """Whether a nameless text is what it says, and an HTML text has nothing in it that could make a file."""
    leaf = inline.leaf
    size = leaf.end - leaf.start
    carrier = leaf.claimed in _CARRIERS
    whole = inline.html or carrier
    if leaf.encoding == "identity":
        if whole and size > 4 * _WHOLE:
            return False
        readings = [data[leaf.start : leaf.end if whole else min(leaf.end, leaf.start + _HEAD)]]
    elif size > _WHOLE:
        return False
    else:
        readings = [content for _, content in encodings.decode(data[leaf.start : leaf.end], leaf.encoding)]
    for content in readings:
        if content.find(b"\0", 0, _HEAD) >= 0 or _MAGIC.match(content):
            return False
        if leaf.encoding != "identity" and encodings.has_embedded(content):
            return False
        if carrier and _CARRIES.search(content):
            return False
        if inline.html:
            lowered = content.lower()
            if any(word in lowered for word in _ACTIVE):
                return False
    return True


def _texts(data: Buffer, reading: reader.Reading) -> tuple[tuple[Text, ...], tuple[Defect, ...]]:
    texts, defects = [], []
    left = 8 * text.MAX_TEXT
    for inline in reading.texts:
        leaf = inline.leaf
        size = min(leaf.end - leaf.start, text.MAX_TEXT, left)
        if size < leaf.end - leaf.start:
            defects.append(Defect(code="text-long", where=leaf.path))
        left -= size
        if size:
            raw = data[leaf.start : leaf.start + size]
            make = partial(text.make, raw, leaf.encoding, inline.charset, is_html=inline.html)
            written = partial(text.source, raw, leaf.encoding, inline.charset, is_html=True)
            texts.append(
                Text(where=leaf.path, text=make, html=inline.html, source=written if inline.html else None)
            )
    return tuple(texts), tuple(defects)
