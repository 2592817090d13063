"""Owns what protects a message on its way, and where its links lead: encrypted files, private meeting rooms,
programs to download (KPS and code of conduct, encryption in transit; KCS 1.5 and 3.7).

Of a link only the host and the kind are kept: the rest may hold a key.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from urllib.parse import unquote

from gatepost_milter.detect.identifiers import EXAMINED
from gatepost_milter.detect.pages import Page, Sieve, pattern
from gatepost_milter.inspection.model import Attachment, FileClass, Part

MOST_HOSTS = 1000
"""Different hosts of one page that are kept."""


class Strength(StrEnum):
    """How well a file is encrypted."""

    NONE = "none"
    WEAK = "weak"
    """Traditional zip encryption (ZipCrypto), and Office documents before 2007: broken in minutes."""
    STRONG = "strong"


# Office before 2007 encrypts with a key of 40 bits unless told otherwise (MS-OFFCRYPTO 4.2).
_OLD_OFFICE = frozenset({"doc", "xls", "ppt", "dot", "xlt", "pps"})


def strength(attachment: Attachment) -> Strength:
    """How well one file is encrypted, by what inspection says of it."""
    if FileClass.ENCRYPTED not in attachment.classes:
        return Strength.NONE
    if "zipcrypto" in attachment.reason.lower():
        return Strength.WEAK
    ending = attachment.name.rpartition(".")[2].lower()
    return Strength.WEAK if ending in _OLD_OFFICE else Strength.STRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What of a message is encrypted. ``whole`` says that its text is, by S/MIME or PGP; ``strong`` and ``weak``
    are the paths of encrypted files, without those inside others."""

    whole: bool
    strong: tuple[str, ...]
    weak: tuple[str, ...]


_WHOLE_TYPES = frozenset({"multipart/encrypted", "application/pgp-encrypted"})
_PGP = b"-----BEGIN PGP MESSAGE-----"
_SMIME_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})


def protection(
    *, parts: Iterable[Part], attachments: Iterable[Attachment], pages: Iterable[Page] = ()
) -> Protection:
    """What of a message is encrypted (RFC 8551, RFC 3156; PGP also written into the text)."""
    whole = any(part.content_type.partition(";")[0].strip().lower() in _WHOLE_TYPES for part in parts)
    strong: dict[str, None] = {}
    weak: dict[str, None] = {}
    for attachment in attachments:
        how = strength(attachment)
        if how is Strength.NONE:
            continue
        if attachment.depth == 0 and attachment.claimed.lower() in _SMIME_TYPES:
            whole = True
        elif not any(outer in strong or outer in weak for outer in _containers(attachment.path)):
            (strong if how is Strength.STRONG else weak)[attachment.path] = None
    whole = whole or any(_PGP in page.raw and b"\n" + _PGP in b"\n" + page.raw[:4096].lstrip() for page in pages)
    return Protection(whole=whole, strong=tuple(strong), weak=tuple(weak))


def _containers(path: str) -> Iterator[str]:
    """The paths of the containers that a file lies in: ``part 2`` and ``part 2 › a.zip``."""
    position = path.find(" › ")
    while position >= 0:
        yield path[:position]
        position = path.find(" › ", position + 1)


class Leads(StrEnum):
    """Where a link leads."""

    ROOM = "meeting-room"
    """A room or group on somebody's private account."""
    PROGRAM = "program"
    """Straight to a program, an installer or a disk image."""
    DISGUISED = "disguised"
    """Elsewhere than the text that people click says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link worth a look.

    ``name`` is a room's service (``Zoom``), a program's ending (``.exe``), or the host that the text of a
    disguised link names.
    """

    kind: Leads
    host: str
    name: str
    where: str
    line: int


# Where anybody can open a room; teams.microsoft.com is the schools' own tenant and not here (KCS 3.7).
_ROOMS: Mapping[str, tuple[str, str]] = {
    "zoom.us": ("Zoom", r"/(?:j|my|s|w)/"),
    "zoom.com": ("Zoom", r"/(?:j|my|s|w)/"),
    "meet.google.com": ("Google Meet", r"/[a-z]{3}-?[a-z]{4}-?[a-z]{3}|/lookup/"),
    "teams.live.com": ("Teams (private)", r"/meet/|/l/"),
    "join.skype.com": ("Skype", r"/."),
    "chat.whatsapp.com": ("WhatsApp", r"/."),
    "call.whatsapp.com": ("WhatsApp", r"/."),
    "wa.me": ("WhatsApp", r"/."),
    "discord.gg": ("Discord", r"/."),
    "discord.com": ("Discord", r"/invite/"),
    "t.me": ("Telegram", r"/."),
    "signal.group": ("Signal", r"/?"),
    "facetime.apple.com": ("FaceTime", r"/join"),
    "meet.jit.si": ("Jitsi", r"/."),
    "whereby.com": ("Whereby", r"/."),
    "m.me": ("Messenger", r"/."),
    "snapchat.com": ("Snapchat", r"/add/"),
    "houseparty.com": ("Houseparty", r"/."),
}
_ROOM_PATHS = {host: re.compile(path, re.IGNORECASE) for host, (_, path) in _ROOMS.items()}

_PROGRAMS = frozenset(
    {"exe", "msi", "msix", "appx", "appxbundle", "msixbundle", "dmg", "pkg", "apk", "xapk", "ipa", "scr", "bat"}
    | {"cmd", "ps1", "vbs", "iso", "img", "deb", "rpm", "appimage", "jar", "jnlp", "hta", "lnk", "xll"}
)

_SIEVE = Sieve({"link": r"(?i)\b(?:https?://|www\.)[^\s<>\"'\\)\]}]+"})
_HREF = pattern(r"""(?i)\b(?:href|src|action)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_ANCHOR = pattern(r"""(?is)<a\s[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))[^>]*>(.*?)</a\s*>""")
_TAG = re.compile(rb"<[^>]*>")
_SHOWN_OCTETS = 2000  # of what an anchor shows
_SHOWN = re.compile(
    r"(?:https?://|(?=www\.))((?:[a-z0-9-]{1,63}\.){1,10}[a-z]{2,24})(?:[/?#:]\S*)?", re.IGNORECASE
)
# Below these names of countries' domains people register theirs.
_SECOND = frozenset({"co", "ac", "org", "gov", "sch", "nhs", "ltd", "plc", "net", "com", "edu", "me"})
_HOST_ENDS = re.compile(r"[/?#\\]")
# Services that rewrite links carry the real one in a parameter.
_WRAPPED = re.compile(r"[?&](?:url|u|q|target)=(https?(?::|%3A)[^&]{4,4000})", re.IGNORECASE)
_WRAPPERS = (
    "safelinks.protection.outlook.com",
    "urldefense.com",
    "google.com",
    "google.co.uk",
    "linkprotect.cudasvc.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The links of a text: those worth a look, each host and name once, and all hosts, at most MOST_HOSTS."""

    found: tuple[Link, ...] = ()
    hosts: tuple[str, ...] = ()


_NO_LINKS = Links()


def links(page: Page) -> Links:
    """The links of a text, in order. Raises DetectionError if it could not be searched."""
    if b"://" not in page.raw and b"www." not in page.lowered:
        return _NO_LINKS
    hosts: dict[str, None] = {}
    found: dict[tuple[str, str], Link] = {}
    for start, url in _urls(page):
        host, path = _target(url)
        if host and host not in hosts:
            if len(hosts) >= MOST_HOSTS:
                continue
            hosts[host] = None
        kind, name = _leads(host, path)
        if kind is not None and (host, name) not in found:
            line = page.line(start)
            found[host, name] = Link(kind=kind, host=host, name=name, where=page.where, line=line)
    return Links(found=tuple(found.values()), hosts=tuple(hosts))


def hrefs(source: str) -> str:
    """The links of an HTML source, one a line: what a person can click, and the shown text does not have."""
    raw = source.encode("utf-8", "replace")
    found: dict[bytes, None] = {}
    for match in islice(_HREF.finditer(raw), EXAMINED):
        found[match.group(1) or match.group(2) or match.group(3) or b""] = None
    return "\n".join(html.unescape(each.decode("utf-8").strip()) for each in found)


def disguised(source: str, *, where: str = "") -> tuple[Link, ...]:
    """The links of an HTML source whose text is the address of another site, each host and name once.

    Only a text that is an address from ``http`` or ``www`` on is compared: names of files look like hosts too.
    """
    raw = source.encode("utf-8", "replace")
    if b"</" not in raw:
        return ()
    found: dict[tuple[str, str], Link] = {}
    for match in islice(_ANCHOR.finditer(raw), EXAMINED):
        text = _TAG.sub(b"", match.group(4)[:_SHOWN_OCTETS]).decode("utf-8", "replace")
        said = _SHOWN.fullmatch(html.unescape(text).strip())
        target = html.unescape((match.group(1) or match.group(2) or match.group(3) or b"").decode("utf-8")).strip()
        if said is None or not target.lower().startswith(("http://", "https://")):
            continue
        host, shown = _target(target)[0], said[1].lower()
        if host and _site(host) != _site(shown) and len(found) < MOST_HOSTS:
            line = raw.count(b"\n", 0, match.start()) + 1
            link = Link(kind=Leads.DISGUISED, host=host, name=shown, where=where, line=line)
            found.setdefault((host, shown), link)
    return tuple(found.values())


def _site(host: str) -> str:
    """The part of a host's name that somebody registered, well enough to compare two: the last two labels, and one
    more below ``co.uk`` and the like."""
    labels = host.removeprefix("www.").split(".")
    below = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND
    return ".".join(labels[-3 if below else -2 :])


def _urls(page: Page) -> Iterator[tuple[int, str]]:
    """Each different link, with the place of its first."""
    seen: set[bytes] = set()
    for match in islice(_SIEVE.each("link", page.raw), EXAMINED):
        found = match.group()[:8192]
        if found not in seen:
            seen.add(found)
            yield match.start(), found.decode("utf-8", "replace")


def _target(url: str) -> tuple[str, str]:
    """The host and path of a link; of the link inside it, if a protection service has rewritten it. They do not
    nest."""
    host, path = _host_and_path(url)
    if host.endswith(_WRAPPERS) and (inner := _WRAPPED.search(url)) is not None:
        return _host_and_path(unquote(inner[1]))
    return host, path


def _host_and_path(url: str) -> tuple[str, str]:
    rest = url.partition("://")[2] or url
    mark = _HOST_ENDS.search(rest)
    end = mark.start() if mark is not None else len(rest)
    host = rest[:end].rpartition("@")[2].partition(":")[0].lower().strip(".")
    path = rest[end:].partition("?")[0].partition("#")[0]
    return host, unquote(path)


def _leads(host: str, path: str) -> tuple[Leads | None, str]:
    domain = host
    while domain:
        if domain in _ROOMS and _ROOM_PATHS[domain].match(path):
            return Leads.ROOM, _ROOMS[domain][0]
        domain = domain.partition(".")[2] if len(host) <= 253 else ""
    stem, dot, ending = path.rpartition("/")[2].rstrip(".,;:!").rpartition(".")
    if stem and dot and ending.lower() in _PROGRAMS:
        return Leads.PROGRAM, f".{ending.lower()}"
    return None, ""
