"""Owns what the words of a message say: its texts as pages, and what each detector finds on them.

Everything is found out when it is first asked for, and once. Values that detectors match are not kept: what they
give holds counts, masks and keyed hashes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo

from gatepost_config.domains import Domains
from gatepost_milter.detect import calendar, credentials, exports, identifiers, structure, transit
from gatepost_milter.detect.births import births
from gatepost_milter.detect.calendar import Invitation
from gatepost_milter.detect.credentials import Leak
from gatepost_milter.detect.domains_alike import Alike
from gatepost_milter.detect.exports import Export
from gatepost_milter.detect.identifiers import Kind, Match
from gatepost_milter.detect.once import once
from gatepost_milter.detect.pages import Page
from gatepost_milter.detect.phrases import Lexicon, Listed
from gatepost_milter.detect.structure import Structure
from gatepost_milter.detect.transit import Link, Links, Protection
from gatepost_milter.inspection.model import Inspection, Text

SUBJECT = "subject"
"""How the subject is called where a place in the message is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectors:
    """What the detectors of one policy look for.

    ``in_letters`` and ``in_files`` are the phrase lists that make a difference there, each with the score from
    which it does (None: all do), ``private`` the names of those whose terms only their keepers may see.
    ``identifiers`` are the kinds of them that make a difference, ``telephones`` are numbers that are nobody's own.
    ``key`` is that of the hashes by which different values are counted: they never leave the process, so each
    process may have a key of its own, and there is none to keep safe.
    """

    lexicon: Lexicon | None = None
    in_letters: Mapping[str, int] | None = None
    in_files: Mapping[str, int] | None = None
    identifiers: frozenset[Kind] = frozenset(Kind)
    private: frozenset[str] = frozenset()
    alike: Alike = field(default_factory=lambda: Alike(()))
    telephones: tuple[str, ...] = ()
    zone: tzinfo = UTC
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


def alike(domains: Domains, *, known: Iterable[str]) -> Alike:
    """The domains whose near misses are worth a word: the school's, those that it works with, and the great mail
    providers, among all that are right."""
    guarded = (*domains.school, *known, *domains.consumers)
    return Alike((*guarded, *domains.institutions), guarded=guarded)


class Content:
    """The words of one message, and what is found on them. ``today`` is the day in the school's own time zone.

    Every property raises DetectionError if a text could not be searched.
    """

    def __init__(self, inspection: Inspection, detectors: Detectors, *, today: date) -> None:
        self._inspection = inspection
        self._detectors = detectors
        self._today = today

    @once
    def letter(self) -> tuple[Page, ...]:
        """The subject and the message's own texts. Of two texts with the same words one is enough: mail programs
        send a letter as plain text and as HTML."""
        pages = [Page(self._inspection.subject, where=SUBJECT)] if self._inspection.subject else []
        own = [each for each in self._inspection.texts if not each.of_file]
        seen: set[bytes] = set()
        for each in own:
            words = _words(each.text) if len(own) > 1 else b""
            if words not in seen:
                seen.add(words)
                pages.append(_page(each))
        return tuple(pages)

    @once
    def files(self) -> tuple[Page, ...]:
        """The texts of attached files, as far as inspection was asked for them."""
        return tuple(_page(each) for each in self._inspection.texts if each.of_file)

    @once
    def own(self) -> tuple[Page, ...]:
        """The writer's own words: the letter without what it quotes and forwards."""
        return tuple(shape.own for shape in self._shapes)

    @once
    def identifiers(self) -> tuple[Match, ...]:
        """The identifiers in the letter and its files, one match for each kind."""
        return self._identified((*self.letter, *self.files))

    @once
    def own_identifiers(self) -> tuple[Match, ...]:
        """Those in the writer's own words."""
        if not self.files and self._all_own:
            return self.identifiers
        return self._identified(self.own)

    @property
    def _all_own(self) -> bool:
        return all(one is other for one, other in zip(self.own, self.letter, strict=True))

    def _identified(self, pages: Iterable[Page]) -> tuple[Match, ...]:
        detectors = self._detectors
        key, kinds = detectors.key, detectors.identifiers
        found: list[Match] = []
        for page in pages:
            found += identifiers.find(page, key=key, kinds=kinds, numbers=detectors.telephones)
            born = births(page, key=key, today=self._today) if Kind.BIRTH in kinds else None
            if born is not None:
                found.append(born)
        # A page has one match for each kind: without two of a kind there is nothing to add up.
        return tuple(found) if len({each.kind for each in found}) == len(found) else identifiers.total(found)

    @once
    def exports(self) -> tuple[Export, ...]:
        """Exports of pupils' data, by the names of files and by what stands in them."""
        named = {
            attachment.path: export
            for attachment in self._inspection.attachments
            for name in (attachment.name, *attachment.names)
            if (export := exports.file_name(name, where=attachment.path)) is not None
        }
        found = [each for page in (*self.letter, *self.files) for each in exports.find(page)]
        return (*named.values(), *(each for each in found if each.where not in named))

    @once
    def leaks(self) -> tuple[Leak, ...]:
        """Credentials in clear in the letter and its files, one leak for each kind."""
        key = self._detectors.key
        found = [leak for page in (*self.letter, *self.files) for leak in credentials.find(page, key=key)]
        return tuple(found) if len({each.kind for each in found}) == len(found) else credentials.total(found)

    @once
    def opens(self) -> bool:
        """Whether an encrypted file and what may be its password came in the same message."""
        return credentials.opens_attachment(self.leaks, self._inspection.attachments)

    @once
    def listed(self) -> tuple[Listed, ...]:
        """What the phrase lists make of the letter, with what it quotes."""
        return self._searched(self.letter, least=self._detectors.in_letters)

    @once
    def own_listed(self) -> tuple[Listed, ...]:
        """What they make of the writer's own words."""
        return self.listed if self._all_own else self._searched(self.own, least=self._detectors.in_letters)

    @once
    def listed_in_files(self) -> tuple[Listed, ...]:
        """What they make of the attached files."""
        return self._searched(self.files, least=self._detectors.in_files)

    def _searched(self, pages: Sequence[Page], *, least: Mapping[str, int] | None) -> tuple[Listed, ...]:
        lexicon = self._detectors.lexicon
        return lexicon.search(pages, least=least) if lexicon is not None and pages else ()

    def is_private(self, listed: Listed) -> bool:
        """Whether only the keepers of the list may see its terms."""
        return listed.list in self._detectors.private

    @once
    def structures(self) -> tuple[Structure, ...]:
        """The shape of each of the message's own texts."""
        return tuple(each for each in self._shapes if each.page.where != SUBJECT)

    @once
    def _shapes(self) -> tuple[Structure, ...]:
        return tuple(Structure(page, subject=self._inspection.subject) for page in self.letter)

    @once
    def addresses(self) -> tuple[tuple[str, str], ...]:
        """The mail addresses in the writer's own words and in the files, each with the place of its first."""
        return self._addresses((*self.own, *self.files))

    @once
    def own_addresses(self) -> tuple[tuple[str, str], ...]:
        """Those in the writer's own words."""
        return self._addresses(self.own) if self.files else self.addresses

    @staticmethod
    def _addresses(pages: Iterable[Page]) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for page in pages:
            for address in structure.addresses(page) if b"@" in page.raw else ():
                found.setdefault(address, page.where)
        return tuple(found.items())

    @once
    def links(self) -> tuple[Link, ...]:
        """The links of the message's own texts that are worth a look, each host and name once."""
        found: dict[tuple[str, str], Link] = {}
        for link in (*(link for each in self._linked for link in each.found), *self._disguised()):
            found.setdefault((link.host, link.name), link)
        return tuple(found.values())

    @once
    def hosts(self) -> tuple[str, ...]:
        """All hosts to which links of the message's own texts lead, as far as they are kept."""
        return tuple(dict.fromkeys(host for each in self._linked for host in each.hosts))

    @once
    def _linked(self) -> tuple[Links, ...]:
        return tuple(transit.links(page) for page in self._linking())

    def _disguised(self) -> Iterator[Link]:
        for each in self._inspection.texts:
            if each.html and not each.of_file:
                yield from transit.disguised(each.source, where=each.where)

    def _linking(self) -> Iterator[Page]:
        for page in self.letter:
            if page.where != SUBJECT:
                yield page
        for each in self._inspection.texts:
            if each.html and not each.of_file:
                yield Page(transit.hrefs(each.source), where=each.where)
        for invitation in self.invitations:
            yield Page(invitation.words, where=invitation.where)

    @once
    def invitations(self) -> tuple[Invitation, ...]:
        """The events of the calendars that came with the message; one in the text and in a file counts once."""
        found = [
            event
            for page in (*self.letter, *self.files)
            for event in calendar.find(page, local=self._detectors.zone)
        ]
        return tuple({(each.organiser, each.attendees, each.starts): each for each in found}.values())

    @once
    def protection(self) -> Protection:
        """What of the message is encrypted."""
        return transit.protection(
            parts=self._inspection.parts, attachments=self._inspection.attachments, pages=self.letter
        )


_BLANK = bytes.maketrans(b"\t\n\v\f\r", b"     ")


def _words(text: str) -> bytes:
    """A text by which to tell whether another has the same words, whatever white space stands between them.

    Octets, because taking a long text apart into words and joining them again takes twice as long.
    """
    raw = text.replace("\xa0", " ").encode("utf-8", "surrogatepass").translate(_BLANK).strip()
    while b"  " in raw:
        raw = raw.replace(b"  ", b" ")
    return raw


def _page(text: Text) -> Page:
    """A text as a page. Sheets and tables have their cells apart by tabs, one record a line."""
    words = text.text
    return Page(words, where=text.where, rows="\t" in words)
