"""Owns the search for credentials in clear: passwords, log-ins, codes of doors and alarms, keys and tokens.

Mail is full of the word password and nearly all of it is harmless, so a value must look like one, and words around
it that speak of expiry, rules or resets count against it (IDENTIFIERS 16). No value is kept: a leak has a mask
that does not even show its length, and a keyed hash for counting.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from gatepost_milter.detect.identifiers import EXAMINED, MOST
from gatepost_milter.detect.pages import Page, Sieve
from gatepost_milter.inspection.model import Attachment, FileClass

REACH = 100
"""Octets around a value in which words count against it."""


class Secret(StrEnum):
    """What was given away."""

    PASSWORD = "password"  # noqa: S105 - the name of a kind, not a password
    LOGIN = "login"
    """A user name with its password."""
    OFFER = "login-offered"
    """Somebody offers their own log-in, without its value."""
    CODE = "door-or-alarm-code"
    KEY = "private-key"
    TOKEN = "token"  # noqa: S105 - the name of a kind, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Secrets of one kind on one page. ``weight``: 1 it may be one, 2 it looks like one, 3 it is one.

    ``count`` is the number of different values (at most MOST), ``line`` where the first stands, ``shown`` what may
    be shown of it: ``password is ••••••••``. ``digests`` are keyed hashes as in ``identifiers``.
    """

    kind: Secret
    where: str
    line: int
    weight: int
    count: int
    shown: str
    digests: frozenset[str]


_SHORTEST = 4  # letters of a password
_LABEL = r"(?:pass ?word|pass ?code|pass-?phrase|pass phrase|pwd|pw|log-?in code|access code)"
_SUBJECT = r"(?:[ \t]+(?:for|to|on|of|at)(?:[ \t]+[\w'./@&-]{1,40}){1,4})?"
_JOIN = r"[ \t]*(?:(?:is|are|was)(?:[ \t]+(?:now|still|currently))?[ \t]*:?|[:=]|[-=]>|-)[ \t]*(?:\n[ \t]*)?"
_VALUE = r"""["']?([^\s"'<>]{3,64})"""

_SIEVE = Sieve(
    {
        "password": rf"(?i)\b({_LABEL}){_SUBJECT}({_JOIN}){_VALUE}",
        "pin": rf"\b((?:PIN|[Pp]in (?:number|code))){_SUBJECT}({_JOIN})(\d{{4,8}})\b",
        "code": r"(?i)\b((?:alarm|door|gate|safe|entry|padlock|key ?safe|wi-?fi|wireless)"
        rf" (?:code|key|combination|password|passphrase)){_SUBJECT}({_JOIN}){_VALUE}",
        "offer": r"(?i)\b(?:use my (?:log-?in|account|password|log-?on|details)|log ?(?:in|on) (?:as me|with my)"
        r"|here are my (?:log-?in )?details|my log-?in (?:details )?(?:is|are))\b",
        "key": r"-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED|PGP) )?PRIVATE KEY(?: BLOCK)?-----",
        "token": r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}"
        r"|xox[abps]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{35})",
        "column": r"(?i)(?:^|[\n\t,;|\"])(?:(?:temp(?:orary)?|mis|initial|new|pupil|student|user|login) ?)?"
        r"pass ?words?[\"\r]{0,2}(?:[\n\t,;|]|$)",
    }
)

_USER = re.compile(
    rb"(?:user ?names?|user ?ids?|log-?ins?|log-?ons?|e-?mails?|accounts?)[ \t]{0,8}[:=][ \t]{0,8}\S{2}"
)

# Words that make it likely that no password stands there (IDENTIFIERS 16).
_AGAINST = re.compile(
    rb"expire[sd]?|expiry|reset|never (?:share|tell|give|send)|do(?: not|n't) (?:share|tell|give|send|write)"
    rb"|required|case.sensitive|forgot(?:ten)?|has been changed|was changed|password.protected|password manager"
    rb"|will follow|sent separately|separate(?:ly)? (?:mail|email|message)|usual one|at least \d"
    rb"|(?:must|should) (?:be|contain|have)|minimum|characters|strong password|for example|e\.g\.|such as"
    rb"|instead of"
)
_EXAMPLE = re.compile(rb"(?:e\.g\.|for example|such as|instead of|never write)[,:]?[ \t]*[\"']?\Z")
# A lesson in programming has passwords that open nothing.
_PROGRAM = re.compile(rb"print ?\(|input ?\(|import |def |getpass|==|!=|const |function ?\(|elif|endif|printf")

# What follows "the password is" when no password follows.
_COMMON = frozenset(
    """
    about access according after again all almost already also always and any applied as ask asking at
    attached available been before being below better blank both box can cannot case-sensitive changed
    changing choose collected compromised confidential contact correct created different difficult disabled
    displayed easy either email enabled encrypted enough entered expired expiring field following for
    forgotten from given going hard hashed have held here hidden hint how important in incorrect info invalid
    it just kept known leaked like listed locked long longer made manager managed mandatory missing must my
    nearly needed never new none not nothing now obvious office old on one only optional our over people phone
    please policy poor private probably protected provided published really recommended rejected reset
    resetting required safe safer same saved secret secure security see sensitive sent separate separately set
    shared short shown simple simply something standard still stolen stored strong stronger tbc text that the
    their then there this three too typed under unique unchanged unknown until updated used usual usually
    valid very visible was weak weaker what when where which whose why will with working would written wrong
    your yours n/a null none true false string word words
    """.split()  # noqa: SIM905 - a hundred and fifty words read better so
)
_PLACEHOLDER = re.compile(
    r"[*•.xX_#?-]+|[\[({<].*|\$\{.*|%\w+%|.*[\])}>(]|https?:.*|//.*|www\..*|=.*", re.IGNORECASE
)
_QUOTES = b"\"'"
_MORE_WORDS = re.compile(rb"[ \t]+[a-z]{2,}[ \t,]+[a-z]{2,}")

# Not .pem: most are certificates, and where one holds a private key, its text says so.
_KEY_FILES = frozenset({"kdbx", "kdb", "pfx", "p12", "ovpn", "rdp", "ppk", "jks", "keystore"})
_KEY_NAMES = frozenset({"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".htpasswd", ".netrc", ".pgpass"})


def file_name(name: str) -> bool:
    """Whether a file's name says that it holds keys or stored passwords: ``.kdbx``, ``.pfx``, ``id_rsa``."""
    plain = name.strip().lower()
    stem, dot, ending = plain.rpartition(".")
    return plain in _KEY_NAMES or (bool(stem and dot) and ending in _KEY_FILES)


def find(page: Page, *, key: bytes) -> tuple[Leak, ...]:
    """The secrets on a page, one leak for each kind. Raises DetectionError if the page could not be searched."""
    present = _SIEVE.which(page.raw)
    if not present:
        return ()
    gathered: dict[Secret, _Gathered] = {}
    for name in present:
        for kind, offset, weight, label, value in _secrets(page, name):
            found = gathered.setdefault(kind, _Gathered(offset, label, {}))
            if len(found.values) < MOST or value in found.values:
                found.values[value] = max(weight, found.values.get(value, 0))
    return tuple(_leak(page, kind, found, key) for kind, found in gathered.items())


@dataclass(slots=True)
class _Gathered:
    first: int
    label: str
    values: dict[str, int]


def total(leaks: Iterable[Leak]) -> tuple[Leak, ...]:
    """The leaks of all pages of a message, one for each kind; a value on two pages counts once."""
    by_kind: dict[Secret, Leak] = {}
    for leak in leaks:
        other = by_kind.get(leak.kind)
        if other is None:
            by_kind[leak.kind] = leak
            continue
        first = other if other.weight >= leak.weight else leak
        digests = other.digests | leak.digests
        by_kind[leak.kind] = Leak(
            kind=leak.kind,
            where=first.where,
            line=first.line,
            weight=first.weight,
            count=len(digests),
            shown=first.shown,
            digests=digests,
        )
    return tuple(by_kind.values())


def opens_attachment(leaks: Iterable[Leak], attachments: Iterable[Attachment]) -> bool:
    """Whether a message carries an encrypted file and, in the same message, what may be its password.

    That defeats the encryption (KPS and the code of conduct, encryption in transit; IDENTIFIERS 16).
    """
    if not any(FileClass.ENCRYPTED in attachment.classes for attachment in attachments):
        return False
    return any(leak.kind in (Secret.PASSWORD, Secret.LOGIN) for leak in leaks)


def _leak(page: Page, kind: Secret, found: _Gathered, key: bytes) -> Leak:
    return Leak(
        kind=kind,
        where=page.where,
        line=page.line(found.first),
        weight=max(found.values.values()),
        count=len(found.values),
        shown=f"{found.label} ••••••••" if found.label else "",
        digests=frozenset(
            hmac.digest(key, f"{kind}:{value}".encode(), "sha256")[:16].hex() for value in found.values
        ),
    )


_Found = tuple[Secret, int, int, str, str]  # kind, offset, weight, label to show, value


def _secrets(page: Page, name: str) -> Iterator[_Found]:
    raw = page.raw
    if name == "column":
        yield from _columns(page)
        return
    for match in islice(_SIEVE.each(name, raw), EXAMINED):
        start = match.start()
        if name == "key":
            yield Secret.KEY, start, 3, "private key", f"{start}"
        elif name == "token":
            yield Secret.TOKEN, start, 3, "token", match.group().decode("ascii", "replace")
        elif name == "offer":
            if not _AGAINST.search(page.around(start, match.end(), REACH)):
                yield Secret.OFFER, start, 2, "", "offer"
        else:
            found = _valued(page, name, match)
            if found is not None:
                yield found


def _valued(page: Page, name: str, match: Any) -> _Found | None:
    """A label with its value, if the value looks like one and the words around it do not speak against it."""
    begin, end = match.span(3)
    if end - begin < _SHORTEST:
        return None
    start = match.start()
    value = page.raw[begin:end].decode("utf-8", "replace").rstrip(".,;:!?)\"'")
    weight = _weight(page.raw, name, match.group(2).strip().lower(), value, begin, end)
    if weight and _AGAINST.search(page.around(start, end, REACH)):
        weight -= 1
    if _EXAMPLE.search(page.lowered, max(0, start - 20), start):
        return None
    if weight and _PROGRAM.search(page.around(start, end, REACH)):
        weight -= 1
    if not weight:
        return None
    if name == "code":
        kind = Secret.CODE
    elif _USER.search(page.lowered, max(0, start - 300), start):
        kind, weight = Secret.LOGIN, min(3, weight + 1)
    else:
        kind = Secret.PASSWORD
    return kind, start, weight, f"{match.group(1).decode('ascii', 'replace').lower()} is", value


def _weight(raw: bytes, name: str, join: bytes, value: str, begin: int, end: int) -> int:
    """0 for what is no secret, 1 for what may be one, 2 for what looks like one."""
    if name == "pin":
        return 2
    if len(value) < _SHORTEST or value.lower() in _COMMON or _PLACEHOLDER.fullmatch(value):
        return 0
    if any(not letter.isalpha() for letter in value.replace("'", "").replace("-", "")):
        return 2
    if name == "code":
        return 0  # codes of doors have digits; "the wifi key is changing"
    if not value.isupper() and any(letter.isupper() for letter in value[1:]):
        return 2
    # Only letters: a word. It is a secret if it stands alone, in quotes or behind a colon.
    if begin and raw[begin - 1] in _QUOTES:
        return 2
    if _MORE_WORDS.match(raw[end : end + 40].lower()) or raw[end : end + 1] == b"-":
        return 0
    if join.endswith((b":", b"=", b">")):
        return 2
    return 0 if join == b"-" else 1


_LINE = 4096


def _columns(page: Page) -> Iterator[_Found]:
    """The cells below a heading that says password: a list of log-ins."""
    raw = page.raw
    examined = 0
    reached = 0
    for match in islice(_SIEVE.each("column", raw), 50):
        if match.start() < reached:
            continue
        at = match.start() + 1 if raw[match.start() : match.start() + 1] in (b"\n", b"\t", b",", b";", b"|") else 0
        begin = raw.rfind(b"\n", max(0, at - _LINE), at) + 1
        end = raw.find(b"\n", match.end() - 1)
        if end < 0:
            return
        line = raw[begin:end]
        delimiter = next((each for each in (b"\t", b";", b"|", b",") if each in line), b"")
        if not delimiter:
            continue
        column = raw[begin:at].count(delimiter)
        for offset, row in _rows(raw, end):
            reached = offset + len(row)
            cells = row.split(delimiter, column + 1)
            examined += 1
            if len(cells) <= column or examined > EXAMINED:
                break
            value = cells[column].strip(b' "\r').decode("utf-8", "replace")
            if 4 <= len(value) <= 64 and " " not in value and value.lower() not in _COMMON:
                yield Secret.LOGIN, offset, 2, "password is", value


def _rows(raw: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    while 0 <= start < len(raw) - 1:
        end = raw.find(b"\n", start + 1)
        end = len(raw) if end < 0 else end
        yield start + 1, raw[start + 1 : min(end, start + 1 + _LINE)]
        start = end
