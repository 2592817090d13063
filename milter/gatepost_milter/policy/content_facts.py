"""Owns the facts about what a message says: identifiers, exports, credentials, phrases, addresses, links,
meetings, and the domains that are nearly right. How each is found is told in ``detect``; no value that must stay
secret is in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gatepost_config.addresses import domain_of
from gatepost_config.words import Direction
from gatepost_milter.detect.calendar import Invitation
from gatepost_milter.detect.credentials import Leak, Secret, file_name
from gatepost_milter.detect.domains_alike import How, NearMiss
from gatepost_milter.detect.exports import Form
from gatepost_milter.detect.identifiers import TITLES, Match
from gatepost_milter.detect.identifiers import Kind as Identity
from gatepost_milter.detect.phrases import Listed
from gatepost_milter.detect.transit import Leads, Strength, strength
from gatepost_milter.inspection.model import Attachment
from gatepost_milter.policy.fact_types import (
    CONSUMER,
    DOMAIN,
    OWNER_KINDS,
    Fact,
    Field,
    Kind,
    People,
    Subject,
    Type,
)

NO_HOURS = 10_000
"""Hours until a meeting of which nobody can tell when it is: more than any school plans ahead."""

_ATTENDEES = 100  # attendees of one meeting that are looked up; a lesson has fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAway:
    """A secret in clear, as rules see it."""

    leak: Leak
    opens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What one phrase list makes of a text, and whether only its keepers may see the terms."""

    listed: Listed
    private: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A mail address that stands in the words of a message. ``own``: in the writer's own words, not in a file."""

    address: str
    where: str
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearly:
    """An address whose domain is nearly a known one; ``where`` is recipient, From or Reply-To."""

    address: str
    miss: NearMiss
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """An invitation, and when the message that brings it was received."""

    invitation: Invitation
    received: datetime

    def invited(self, *, optional: bool = False) -> list[str]:
        """The addresses of those who are invited, at most as many as are looked up."""
        people = self.invitation.people[:_ATTENDEES]
        return [each.address for each in people if not optional or each.role == "optional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What is encrypted: a file by its path, or the message as a whole."""

    path: str
    strong: bool
    whole: bool = False


def _secrets(subject: Subject) -> Iterator[GivenAway]:
    content = subject.content
    opens = bool(content.leaks) and content.opens
    for leak in content.leaks:
        yield GivenAway(leak=leak, opens=opens and leak.kind in (Secret.PASSWORD, Secret.LOGIN))


def _key_file(attachment: Attachment) -> bool:
    return any(file_name(name) for name in (attachment.name, *attachment.names))


def _spoken(find: Callable[[Subject], Iterable[Listed]]) -> Callable[[Subject], list[Spoken]]:
    return lambda subject: [
        Spoken(listed=each, private=subject.content.is_private(each)) for each in find(subject)
    ]


def _addresses(subject: Subject) -> list[Written]:
    own = {address for address, _ in subject.content.own_addresses}
    return [
        Written(address=address, where=where, own=address in own) for address, where in subject.content.addresses
    ]


def _is_parent(address: str, people: People) -> bool:
    """Known as a parent's; without any parent in the directory, at a domain where parents have their mail."""
    if people.directory.has_parents:
        return "parent" in people.kinds(address)
    return people.domains.is_consumer(domain_of(address))


def _near_misses(subject: Subject) -> Iterator[Nearly]:
    """Outside recipients of our mail, and whom mail from outside says it is from."""
    places: list[tuple[str, str]] = []
    if subject.sender.via:
        places += [("recipient", address) for address, way in subject.ways if way is Direction.OUTBOUND]
    else:
        places += [("From", each.address) for each in subject.inspection.from_]
        places += [("Reply-To", each.address) for each in subject.inspection.reply_to]
    seen: set[str] = set()
    for where, address in places:
        domain = domain_of(address)
        if domain and address not in seen:
            seen.add(address)
            miss = subject.alike().near(domain)
            if miss is not None:
                yield Nearly(address=address, miss=miss, where=where)


def _known_as(near: Nearly, people: People) -> str:
    known = near.miss.known
    if people.domains.is_school(known):
        return "school"
    return "consumer" if people.domains.is_consumer(known) else "partner"


def _meetings(subject: Subject) -> list[Meeting]:
    received = subject.transaction.received_at
    return [Meeting(invitation=each, received=received) for each in subject.content.invitations]


def _hours_ahead(meeting: Meeting) -> int:
    """Whole hours from the message to the meeting; below zero if it has been."""
    starts = meeting.invitation.starts
    return NO_HOURS if starts is None else int((starts - meeting.received).total_seconds() // 3600)


def _of_kind(kind: str) -> Callable[[Meeting, People], list[str]]:
    return lambda meeting, people: [each for each in meeting.invited() if kind in people.kinds(each)]


def _supervisors(meeting: Meeting, people: People) -> list[str]:
    """The optional attendees who supervise the organiser or an invited pupil, as the directory says."""
    wanted: set[str] = set()
    for address in (meeting.invitation.organiser, *meeting.invited()):
        person = people.directory.person(address, at=people.at)
        if person is not None:
            wanted.update(each.lower() for each in person.supervisors)
    return [each for each in meeting.invited(optional=True) if each.lower() in wanted]


def _sections(meeting: Meeting, people: People) -> list[str]:
    persons = (people.directory.person(each, at=people.at) for each in meeting.invited())
    return sorted({each.section for each in persons if each is not None and each.section})


def _locked(subject: Subject) -> Iterator[Locked]:
    protection = subject.content.protection
    if protection.whole:
        yield Locked(path="message", strong=True, whole=True)
    for path in protection.strong:
        yield Locked(path=path, strong=True)
    for path in protection.weak:
        yield Locked(path=path, strong=False)


def _most(field: str) -> Callable[[Subject, People], int]:
    """The largest value of one property of the message's texts."""
    return lambda subject, _: max((int(getattr(each, field)) for each in subject.content.structures), default=0)


ATTACHMENT_FIELDS = (
    Field(
        "strength",
        Type.STRING,
        "How well it is encrypted: none, weak (old zip and Office encryption) or strong.",
        look=lambda a, _: strength(a).value,
        choices=tuple(Strength),
    ),
    Field(
        "key_file",
        Type.BOOL,
        "Whether its name says that it holds keys or stored passwords: .kdbx, .pfx, id_rsa.",
        look=lambda a, _: _key_file(a),
    ),
)

_LISTED_FIELDS = (
    Field("list", Type.STRING, "The list's name.", lambda s: s.listed.list),
    Field("category", Type.STRING, "The list's subject.", lambda s: s.listed.category),
    Field("title", Type.STRING, "What the list is about, in words.", lambda s: s.listed.title),
    Field("owner", Type.STRING, "The role that keeps the list.", lambda s: s.listed.owner),
    Field("score", Type.INT, "The weights of the terms that occur, added up.", lambda s: s.listed.score),
    Field("threshold", Type.INT, "The list's threshold.", lambda s: s.listed.threshold),
    Field("reached", Type.BOOL, "Whether the score is at the threshold or above.", lambda s: s.listed.reached),
    Field("tiers", Type.STRINGS, "The tiers of the terms that occur.", lambda s: s.listed.tiers),
    Field(
        "terms",
        Type.STRINGS,
        "The terms that occur, as the list has them; never the mail's own words.",
        lambda s: [hit.term for hit in s.listed.hits],
    ),
    Field("where", Type.STRING, "Where the first stands.", lambda s: s.listed.hits[0].where),
    Field("line", Type.INT, "In which line.", lambda s: s.listed.hits[0].line),
    Field("private", Type.BOOL, "Whether only its keepers may see the terms.", lambda s: s.private),
)

CONTENT_KINDS = (
    Kind(
        "Identifier",
        "Identifiers of one kind: format, check digit and the words around them are right.",
        (
            Field("kind", Type.STRING, "What they are.", lambda m: m.kind.value, choices=tuple(Identity)),
            Field("title", Type.STRING, "What people call them: UPN.", lambda m: TITLES[m.kind]),
            Field("count", Type.INT, "How many different ones.", lambda m: m.count),
            Field("level", Type.INT, "1 for one or two, 2 from three, 3 from ten.", lambda m: m.level),
            Field("near", Type.BOOL, "Whether a word or heading says what they are.", lambda m: m.near),
            Field("shown", Type.STRING, "The first, masked.", lambda m: m.shown),
            Field("where", Type.STRING, "Where the first stands.", lambda m: m.where),
            Field("line", Type.INT, "In which line.", lambda m: m.line),
        ),
    ),
    Kind(
        "Export",
        "An export from the school's information system, or a table like one.",
        (
            Field("form", Type.STRING, "What kind of export.", lambda e: e.form.value, choices=tuple(Form)),
            Field("rows", Type.INT, "How many people it holds; 0 if nobody can tell.", lambda e: e.rows),
            Field("program", Type.STRING, "The system whose headings they are, or empty.", lambda e: e.program),
            Field("heads", Type.STRINGS, "Its headings, in our spelling.", lambda e: e.heads),
            Field("sensitive", Type.STRINGS, "Those of them that say sensitive things.", lambda e: e.sensitive),
            Field("where", Type.STRING, "Where it is.", lambda e: e.where),
            Field("line", Type.INT, "In which line the headings stand; 0 for a whole file.", lambda e: e.line),
        ),
    ),
    Kind(
        "Secret",
        "Credentials of one kind in clear.",
        (
            Field("kind", Type.STRING, "What was given away.", lambda s: s.leak.kind.value, choices=tuple(Secret)),
            Field("weight", Type.INT, "1 may be one, 2 looks like one, 3 is one.", lambda s: s.leak.weight),
            Field("count", Type.INT, "How many different ones.", lambda s: s.leak.count),
            Field(
                "opens",
                Type.BOOL,
                "Whether it may be the password of an encrypted file in the same message.",
                lambda s: s.opens,
            ),
            Field("shown", Type.STRING, "What may be shown of it.", lambda s: s.leak.shown),
            Field("where", Type.STRING, "Where the first stands.", lambda s: s.leak.where),
            Field("line", Type.INT, "In which line.", lambda s: s.leak.line),
        ),
    ),
    Kind("Listed", "What one of the policy's phrase lists makes of a text.", _LISTED_FIELDS),
    Kind(
        "Written",
        "A mail address that stands in the writer's own words or in a file.",
        (
            Field("address", Type.STRING, "The address.", lambda w: w.address),
            DOMAIN,
            Field("own", Type.BOOL, "Whether it stands in the writer's own words.", lambda w: w.own),
            Field("where", Type.STRING, "Where it stands first.", lambda w: w.where),
            OWNER_KINDS,
            Field(
                "parent",
                Type.BOOL,
                "Whether it is a parent's; guessed by its domain if the directory has no parents.",
                look=lambda w, people: _is_parent(w.address, people),
            ),
            CONSUMER,
        ),
    ),
    Kind(
        "Invitation",
        "A meeting to which a calendar in the message invites.",
        (
            Field("method", Type.STRING, "REQUEST, CANCEL …; empty if none.", lambda m: m.invitation.method),
            Field("organiser", Type.STRING, "Who asks: a claim.", lambda m: m.invitation.organiser),
            Field("attendees", Type.STRINGS, "The people who are invited.", lambda m: m.invited()),
            Field("people", Type.INT, "How many they are.", lambda m: len(m.invitation.people)),
            Field("hours_ahead", Type.INT, "Hours until it starts; 10,000 if nobody can tell.", _hours_ahead),
            Field("repeats", Type.BOOL, "Whether it comes again.", lambda m: m.invitation.repeats),
            Field("where", Type.STRING, "Where the calendar is.", lambda m: m.invitation.where),
            Field("pupils", Type.STRINGS, "The pupils among those invited.", look=_of_kind("pupil")),
            Field("parents", Type.STRINGS, "The parents among them.", look=_of_kind("parent")),
            Field("staff", Type.STRINGS, "The staff among them, without the organiser.", look=_of_kind("staff")),
            Field(
                "supervisors",
                Type.STRINGS,
                "Optional attendees who supervise the organiser or a pupil, as the directory says.",
                look=_supervisors,
            ),
            Field("sections", Type.STRINGS, "The sections of those invited: junior and the like.", look=_sections),
        ),
    ),
    Kind(
        "NearMiss",
        "An address whose domain is nearly one that the school knows.",
        (
            Field("address", Type.STRING, "The address.", lambda n: n.address),
            Field("domain", Type.STRING, "Its domain.", lambda n: n.miss.domain),
            Field("known", Type.STRING, "The domain that it could be taken for.", lambda n: n.miss.known),
            Field("how", Type.STRING, "In which way it is near.", lambda n: n.miss.how.value, choices=tuple(How)),
            Field(
                "where",
                Type.STRING,
                "recipient, From or Reply-To.",
                lambda n: n.where,
                choices=("recipient", "From", "Reply-To"),
            ),
            Field(
                "known_as",
                Type.STRING,
                "Whose the known domain is: school, partner (approved) or consumer.",
                look=_known_as,
                choices=("school", "partner", "consumer"),
            ),
        ),
    ),
    Kind(
        "Link",
        "A link in the message that is worth a look.",
        (
            Field("kind", Type.STRING, "Where it leads.", lambda k: k.kind.value, choices=tuple(Leads)),
            Field("host", Type.STRING, "The host it leads to.", lambda k: k.host),
            Field(
                "name",
                Type.STRING,
                "A room's service (Zoom), a program's ending, or the host that a disguised link shows.",
                lambda k: k.name,
            ),
            Field("where", Type.STRING, "Where it stands.", lambda k: k.where),
            Field("line", Type.INT, "In which line.", lambda k: k.line),
        ),
    ),
    Kind(
        "Host",
        "A host to which a link in the message leads.",
        (Field("host", Type.STRING, "Its name: www.example.com.", str),),
    ),
    Kind(
        "Writing",
        "The shape of the message's own texts.",
        (
            Field("forwards", Type.INT, "How often it was forwarded, as far as it shows.", look=_most("forwards")),
            Field("earlier", Type.INT, "How many earlier messages it quotes.", look=_most("earlier")),
            Field("quoted_recipients", Type.INT, "People whom quoted To and Cc lines name.", look=_most("shown")),
            Field("capitals", Type.INT, "Capitals in the writer's own words, per cent.", look=_most("capitals")),
            Field("salutation", Type.BOOL, "Whether it begins with one.", look=_most("salutation")),
            Field("addresses", Type.INT, "Mail addresses in own words and files.",
                  look=lambda s, _: len(s.content.addresses)),
            Field(
                "parent_addresses",
                Type.INT,
                "Those of parents among them, known or guessed.",
                look=lambda s, people: sum(_is_parent(each, people) for each, _ in s.content.addresses),
            ),
        ),
    ),
    Kind(
        "Encrypted",
        "An encrypted file, or an encrypted message.",
        (
            Field("path", Type.STRING, "The way to the file; message for the whole.", lambda e: e.path),
            Field("strong", Type.BOOL, "Whether it cannot be broken in minutes.", lambda e: e.strong),
            Field("whole", Type.BOOL, "Whether it is the message as a whole (S/MIME, PGP).", lambda e: e.whole),
        ),
    ),
    Kind("Malware", "What a scanner knows.", (Field("name", Type.STRING, "The scanner's name for it.", str),)),
)  # fmt: skip

CONTENT_FACTS = (
    Fact("identifiers", "list(Identifier)", "Identifiers of people and accounts, also in files.", words=True),
    Fact("own_identifiers", "list(Identifier)", "Those in the writer's own words.", words=True),
    Fact("exports", "list(Export)", "Exports of pupils' data, also in files.", words=True),
    Fact("secrets", "list(Secret)", "Credentials in clear, also in files.", words=True),
    Fact("listed", "list(Listed)", "What the phrase lists make of the message.", words=True),
    Fact("own_listed", "list(Listed)", "What they make of the writer's own words.", words=True),
    Fact("listed_in_files", "list(Listed)", "What they make of attached files.", words=True),
    Fact("addresses", "list(Written)", "Mail addresses in the writer's own words and in files.", words=True),
    Fact("invitations", "list(Invitation)", "The meetings to which it invites.", words=True),
    Fact(
        "links",
        "list(Link)",
        "Links to private meeting rooms and to programs, and those that show another address.",
        words=True,
    ),
    Fact("hosts", "list(Host)", "The hosts to which its links lead, each once.", words=True),
    Fact("writing", "Writing", "The shape of its texts.", words=True),
    Fact("near_misses", "list(NearMiss)", "Recipients of ours, or senders outside, whose domain is nearly right."),
    Fact("encrypted", "list(Encrypted)", "What of it is encrypted, files inside others left out."),
    Fact("malware", "list(Malware)", "What a virus scanner found; none without one."),
)

IN_FILES = frozenset({"identifiers", "exports", "secrets", "listed_in_files", "addresses", "invitations"})
"""The facts for which inspection must read the words of files. ``writing`` counts addresses in files too, where
they were read."""

CONTENT_LISTS: Mapping[str, tuple[str, Callable[[Subject], Iterable[Any]]]] = {
    "identifiers": ("Identifier", lambda subject: _speaking(subject.content.identifiers)),
    "own_identifiers": ("Identifier", lambda subject: _speaking(subject.content.own_identifiers)),
    "exports": ("Export", lambda subject: subject.content.exports),
    "secrets": ("Secret", _secrets),
    "listed": ("Listed", _spoken(lambda subject: subject.content.listed)),
    "own_listed": ("Listed", _spoken(lambda subject: subject.content.own_listed)),
    "listed_in_files": ("Listed", _spoken(lambda subject: subject.content.listed_in_files)),
    "addresses": ("Written", _addresses),
    "invitations": ("Invitation", _meetings),
    "links": ("Link", lambda subject: subject.content.links),
    "hosts": ("Host", lambda subject: subject.content.hosts),
    "near_misses": ("NearMiss", _near_misses),
    "encrypted": ("Encrypted", _locked),
    "malware": ("Malware", lambda subject: subject.inspection.malware),
}
"""The list facts among them: what each is a list of, and how it is found."""


def _speaking(matches: Iterable[Match]) -> list[Match]:
    """Without those that say nothing: one postcode in a signature."""
    return [each for each in matches if each.level]
