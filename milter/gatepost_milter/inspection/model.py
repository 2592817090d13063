"""Owns what inspection finds: parts, attachments, addresses, texts and defects, as frozen values.

Inspection never raises on message content (RFC 7103): what is broken becomes a Defect, what cannot be opened
becomes an Attachment of class ``opaque``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class FileClass(StrEnum):
    """What a file is, by content and by name; a file may have several classes."""

    EXECUTABLE = "executable"
    SCRIPT = "script"
    MACRO = "macro"
    SHORTCUT = "shortcut"
    INSTALLER = "installer"
    DISK_IMAGE = "disk-image"
    ARCHIVE = "archive"
    ENCRYPTED = "encrypted"
    OPAQUE = "opaque"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A way in which the message breaks or bends the standards. ``code`` is a fixed word with hyphens.

    ``where`` is the part it was seen in (``part 2.1``, empty for the whole message), ``detail`` a short plain
    text without message content that could be private.
    """

    code: str
    where: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code} ({self.where})" if self.where else self.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that some mainstream client could hand to its user, or a member of such a file.

    ``path`` is how a person finds it: ``part 2 › invoice.zip › setup.exe``. ``name`` is the name to show and
    ``names`` every name that a client could use, normalised as clients and Windows would. ``claimed`` is the
    media type that the message (or container) states, ``detected`` the one that the content shows, and
    ``description`` libmagic's words. ``size`` is in decoded bytes, -1 if unknown; ``sha256`` is empty unless
    it was asked for. ``depth`` is 0 for a MIME part and grows with each container. ``tier`` is the strictest
    tier of its names in filetypes.tsv (``T1``…``T5``, empty when no name is listed). ``reason`` says in a few
    plain words what put it in its classes.
    """

    path: str
    part: str
    name: str
    names: tuple[str, ...] = ()
    claimed: str = ""
    detected: str = ""
    description: str = ""
    size: int = -1
    sha256: str = ""
    classes: frozenset[FileClass] = frozenset()
    depth: int = 0
    tier: str = ""
    reason: str = ""


class Text:
    """Text that a person would see: a text part, or HTML as shown. ``where`` names the part, ``of_file`` says that
    it is what a file holds and not what the message itself says.

    Most messages are judged without a look at their words, so the text may be given as something that makes it
    when it is first asked for. Apart from that a Text never changes.
    """

    __slots__ = ("_make", "_source", "_text", "html", "of_file", "where")

    def __init__(
        self,
        *,
        where: str,
        text: str | Callable[[], str],
        html: bool = False,
        of_file: bool = False,
        source: Callable[[], str] | None = None,
    ) -> None:
        self.where = where
        self.html = html
        self.of_file = of_file
        self._source = source
        self._text = text if isinstance(text, str) else ""
        self._make = None if isinstance(text, str) else text

    @property
    def text(self) -> str:
        """The words, made at the first call."""
        if self._make is not None:
            self._text = self._make()
            self._make = None
        return self._text

    @property
    def source(self) -> str:
        """The text as it is written: HTML with its markup, where it is known."""
        return self._source() if self._source is not None else self.text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Text):
            return NotImplemented
        mine = (self.where, self.html, self.of_file, self.text)
        return mine == (other.where, other.html, other.of_file, other.text)

    def __hash__(self) -> int:
        return hash((self.where, self.html))

    def __repr__(self) -> str:
        return f"Text(where={self.where!r}, html={self.html!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One MIME part under one reading. ``number`` is IMAP-like (``2.1``), empty for a whole message.

    ``path`` is how a person finds it: ``message``, ``part 2.1``, ``part 2 › message`` for a message inside.
    ``reading`` is the defect by which some clients see the part so; empty for the reading of the standards.
    ``start`` and ``end`` are byte offsets of its body in the message.
    """

    number: str
    content_type: str
    disposition: str
    encoding: str
    names: tuple[str, ...]
    start: int
    end: int
    reading: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The bytes of a leaf part as they stand in the message, under one reading; to be decoded and examined.

    ``path`` is the person's way to it (``part 2``), ``names`` are already normalised, ``encoding`` is one of
    ``identity``, ``base64``, ``quoted-printable``, ``uuencode``, ``yenc``; ``start`` and ``end`` are byte offsets
    in the message. One MIME part with several readings gives several leaves with the same ``number``. ``claimed``
    is a multipart or message type where the encoding has to be decoded before its parts can be read.
    """

    number: str
    path: str
    names: tuple[str, ...]
    claimed: str
    encoding: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleRecipient:
    """An address that every recipient can read in ``field`` (To, Cc, Resent-To, Resent-Cc)."""

    field: str
    address: str
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a message is, as the union of the readings of mainstream clients. ``size`` is in bytes.

    ``texts`` holds the message's own texts and, where they were asked for, those of its files; ``malware`` the
    names by which a virus scanner knows what it holds, empty also when no scanner is set.
    """

    size: int
    subject: str = ""
    message_id: str = ""
    from_: tuple[VisibleRecipient, ...] = ()
    reply_to: tuple[VisibleRecipient, ...] = ()
    recipients: tuple[VisibleRecipient, ...] = ()
    automatic: bool = False
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    texts: tuple[Text, ...] = ()
    defects: tuple[Defect, ...] = ()
    malware: tuple[str, ...] = ()
    took: float = 0.0
