"""Owns who the school's people are: persons, their households and private addresses, groups, approvals and
exemptions, frozen in memory and shared by every worker.

The directory is read from CSV files by ``directory_load``. It never reads the clock: whoever asks says for which
day (``at``). Dates are inclusive at both ends. Addresses may be given in any spelling (``addresses.normalise``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from gatepost_config.addresses import DOMAIN_LIMIT, ascii_domain, domain_of, normalise
from gatepost_config.errors import Problem
from gatepost_config.names import Name, parse_name


class Kind(StrEnum):
    """What somebody is to the school; one person may be several things. ``role`` is a mailbox that stands for
    an office and not for a person (it-support, admissions)."""

    STAFF = "staff"
    PUPIL = "pupil"
    PARENT = "parent"
    GOVERNOR = "governor"
    VOLUNTEER = "volunteer"
    SUPPLIER = "supplier"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The days on which something holds, first and last included; None is open."""

    starts: date | None = None
    ends: date | None = None

    def covers(self, at: date) -> bool:
        """Whether the day ``at`` lies in the span."""
        return (self.starts is None or self.starts <= at) and (self.ends is None or at <= self.ends)


ALWAYS = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person, or one mailbox that stands for an office.

    ``roles`` says what they are and when: a teacher who has left may still be a parent. ``address`` is the main
    address as the directory has it, ``aliases`` are other addresses of the same mailbox, ``personal`` private
    addresses that they declared (CLAUSES D5). ``pupils`` are pupil ids: a pupil's own, a parent's children.
    ``ties`` are what connects households: two people with a tie in common are of one household. ``source`` is
    ``file:line`` of the first row that named them.
    """

    address: str
    name: str = ""
    roles: tuple[tuple[Kind, Span], ...] = ()
    aliases: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    department: str = ""
    year: str = ""
    section: str = ""
    pupils: frozenset[str] = frozenset()
    ties: frozenset[str] = frozenset()
    supervisors: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()
    source: str = ""

    @property
    def kinds(self) -> frozenset[Kind]:
        """Everything that this person was, is or will be."""
        return frozenset(kind for kind, _ in self.roles)

    def kinds_at(self, at: date) -> frozenset[Kind]:
        """What this person is on the day ``at``; empty before they come and after they have left."""
        return frozenset(kind for kind, span in self.roles if span.covers(at))

    def current(self, at: date) -> bool:
        """Whether this person is anything to the school on the day ``at``."""
        for _, span in self.roles:  # noqa: SIM110 - a generator takes three times as long, for each message
            if span.covers(at):
                return True
        return False

    def is_staff(self, at: date) -> bool:
        """Whether this person is a member of staff on the day ``at``."""
        return self._is(Kind.STAFF, at)

    def is_parent(self, at: date) -> bool:
        """Whether this person is a parent on the day ``at``."""
        return self._is(Kind.PARENT, at)

    def _is(self, wanted: Kind, at: date) -> bool:
        for kind, span in self.roles:  # noqa: SIM110 - as above
            if kind is wanted and span.covers(at):
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A distribution list, or people who agreed that their addresses are seen by one another (``agreed``).

    Aliases expand after the gateway, so the size of a list must be told: ``size`` is the number of people that
    the file states, 0 if it states none. ``address`` is empty for an agreed group without a list of its own.
    """

    address: str = ""
    name: str = ""
    size: int = 0
    members: frozenset[str] = frozenset()
    agreed: bool = False
    span: Span = ALWAYS
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An outside address or domain that the school works with (CLAUSES D6), such as its bulk-mail provider.

    ``who`` is a normalised address, a domain, or ``*.domain`` for the domain and all names below it.
    """

    who: str
    purpose: str = ""
    approved_by: str = ""
    reason: str = ""
    span: Span = ALWAYS
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Leave from one rule, for somebody, until a day, given by somebody for a reason (CLAUSES D12).

    ``who`` is a normalised address, ``@domain``, ``kind:…`` or ``group:…``. ``party`` says whether they are exempt
    as the ``sender`` or as the ``recipient`` of mail.
    """

    rule: str
    who: str
    span: Span
    approved_by: str
    reason: str
    party: str = "sender"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What became of one file: how it was read, and how many of its rows are in force.

    ``rows`` = ``loaded`` + ``left_out`` + ``unaddressed``; the last have no address to look up (a parent without
    mail), which is not a fault. ``ignored`` are columns of an export that gatepost has no use for.
    """

    path: Path
    layout: str
    encoding: str
    separator: str
    rows: int
    loaded: int
    left_out: int
    unaddressed: int
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Directory:
    """All people, groups, approvals and exemptions. Make one with ``Directory.of`` or ``load_directory``.

    ``problems`` are the rows that were left out, and why. ``has_parents`` says whether any parent is known at all:
    without parents, households can only be guessed.
    """

    people: tuple[Person, ...] = ()
    groups: tuple[Group, ...] = ()
    approvals: tuple[Approval, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: tuple[FileReport, ...] = ()
    has_parents: bool = False
    _addresses: Mapping[str, Person] = field(default_factory=dict)
    _logins: Mapping[str, Person] = field(default_factory=dict)
    _personal: Mapping[str, tuple[Person, ...]] = field(default_factory=dict)
    _households: Mapping[str, str] = field(default_factory=dict)
    _groups: Mapping[str, Group] = field(default_factory=dict)
    _sizes: Mapping[str, int] = field(default_factory=dict)
    _approvals: Mapping[str, tuple[Approval, ...]] = field(default_factory=dict)
    _exemptions: Mapping[str, Mapping[str, tuple[Exemption, ...]]] = field(default_factory=dict)
    _surnames: Mapping[str, tuple[tuple[Name, Person], ...]] = field(default_factory=dict)

    @staticmethod
    def of(
        *,
        people: Iterable[Person] = (),
        groups: Iterable[Group] = (),
        approvals: Iterable[Approval] = (),
        exemptions: Iterable[Exemption] = (),
        problems: Iterable[Problem] = (),
        files: Iterable[FileReport] = (),
    ) -> Directory:
        """A directory of these. Where two claim one address or login, the first has it."""
        people, groups = tuple(people), tuple(groups)
        approvals, exemptions = tuple(approvals), tuple(exemptions)
        addresses = _index_addresses(people)
        lists = {normalise(group.address): group for group in reversed(groups) if group.address}
        return Directory(
            people=people,
            groups=groups,
            approvals=approvals,
            exemptions=exemptions,
            problems=tuple(problems),
            files=tuple(files),
            _addresses=addresses,
            _logins=_index_logins(people),
            _personal=_collect((normalise(each), person) for person in people for each in person.personal),
            _households=_name_households(people, addresses),
            has_parents=any(kind is Kind.PARENT for person in people for kind, _ in person.roles),
            _groups=lists,
            _sizes={address: _size(group, lists) for address, group in lists.items()},
            _approvals=_collect((approval.who, approval) for approval in approvals),
            _exemptions={
                rule: _collect((each.who, each) for each in theirs)
                for rule, theirs in _collect((each.rule, each) for each in exemptions).items()
            },
            _surnames=_index_surnames(people),
        )

    def person(self, address: str, *, at: date | None = None) -> Person | None:
        """Whose address it is (main or alias, not a private one); with ``at`` only if they belong to the school
        on that day."""
        person = self._addresses.get(address) or self._addresses.get(normalise(address))
        if person is None or at is None or person.current(at):
            return person
        return None

    def by_login(self, login: str, *, at: date | None = None) -> Person | None:
        """Who logs in with that name (SASL), in any case. A person's main address is a login of theirs too,
        unless the directory gives it to somebody else."""
        person = self._logins.get(login) or self._logins.get(login.lower())
        if person is None or at is None or person.current(at):
            return person
        return None

    def household(self, address: str) -> str:
        """The name of the household of ``address``, empty when it has none.

        A household is everyone connected by shared pupil ids (or household ids), step by step: separated parents
        of one pupil are one household, and so is a parent of several pupils with all their other parents.
        """
        return self._households.get(address) or self._households.get(normalise(address), "")

    def owners_of_personal(self, address: str, *, at: date | None = None) -> tuple[Person, ...]:
        """Everybody who declared ``address`` as a private one of theirs; couples on the staff share some."""
        owners = self._personal.get(address) or self._personal.get(normalise(address), ())
        if at is None:
            return owners
        return tuple(owner for owner in owners if owner.current(at))

    def staff_named(self, display: str, *, at: date) -> tuple[Person, ...]:
        """The members of staff whom a reader would take ``display`` for (``Mr A. Patel`` for Anita Patel)."""
        name = parse_name(display)
        if not name.surname:
            return ()
        return tuple(
            person
            for theirs, person in self._surnames.get(name.surname, ())
            if name.may_be(theirs) and person.is_staff(at)
        )

    def group(self, address: str) -> Group | None:
        """The distribution list with that address."""
        return self._groups.get(address) or self._groups.get(normalise(address))

    def group_size(self, address: str) -> int:
        """How many people get mail to that list, lists inside lists included; 0 if it is no list we know."""
        return self._sizes.get(address) or self._sizes.get(normalise(address), 0)

    def agreed_groups(self, at: date) -> tuple[Group, ...]:
        """The groups whose members agreed, for the day ``at``, to see one another's addresses."""
        return tuple(group for group in self.groups if group.agreed and group.span.covers(at))

    def approved(self, address: str, at: date) -> Approval | None:
        """The approval of an outside address, by itself or by its domain, on the day ``at``."""
        for key in _approval_keys(address):
            for approval in self._approvals.get(key, ()):
                if approval.span.covers(at):
                    return approval
        return None

    def exempt(self, rule: str, address: str, at: date, *, party: str = "sender") -> Exemption | None:
        """The leave that ``address`` has from ``rule`` on the day ``at``, as the ``party`` that it is: its own
        first, then its groups' and kinds', then its domain's."""
        exemptions = self._exemptions.get(rule)
        if exemptions is None:
            return None
        for key in self._exemption_keys(address, at):
            for exemption in exemptions.get(key, ()):
                if exemption.party == party and exemption.span.covers(at):
                    return exemption
        return None

    def _exemption_keys(self, address: str, at: date) -> Iterable[str]:
        yield normalise(address)
        person = self.person(address, at=at)
        if person is not None:
            yield normalise(person.address)
            yield from (f"group:{group}" for group in sorted(person.groups))
            yield from (f"kind:{kind}" for kind in Kind if kind in person.kinds_at(at))
        yield f"@{domain_of(address)}"


_Value = TypeVar("_Value")


def _collect(pairs: Iterable[tuple[str, _Value]]) -> dict[str, tuple[_Value, ...]]:
    collected: dict[str, list[_Value]] = {}
    for key, value in pairs:
        collected.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in collected.items()}


def _index_addresses(people: tuple[Person, ...]) -> dict[str, Person]:
    index: dict[str, Person] = {}
    for person in people:
        if person.address:
            index.setdefault(normalise(person.address), person)
    # After all main addresses: an alias never takes somebody's main address away.
    for person in people:
        for alias in person.aliases:
            index.setdefault(normalise(alias), person)
    return index


def _index_logins(people: tuple[Person, ...]) -> dict[str, Person]:
    index: dict[str, Person] = {}
    for person in people:
        for login in person.logins:
            index.setdefault(login.lower(), person)
    # The address as it is, with its tag and dots: a login is compared by the mail server, not by us.
    for person in people:
        if person.address:
            index.setdefault(person.address.lower(), person)
    return index


def _name_households(people: tuple[Person, ...], addresses: Mapping[str, Person]) -> dict[str, str]:
    """The household of each address: the least tie of those that are connected (union-find)."""
    parent: dict[str, str] = {}

    def root(tie: str) -> str:
        while (above := parent.setdefault(tie, tie)) != tie:
            parent[tie] = tie = parent[above]
        return tie

    for person in people:
        first = None
        for tie in person.ties:
            if first is None:
                first = root(tie)
            else:
                low, high = sorted((first, root(tie)))
                parent[high] = first = low
    return {address: root(next(iter(person.ties))) for address, person in addresses.items() if person.ties}


def _size(group: Group, lists: Mapping[str, Group]) -> int:
    """People on a list: those named, on it or on lists inside it, and the stated sizes of lists that name none.
    A stated size wins over fewer names. Lists that hold each other are counted once."""
    people: set[str] = set()
    stated = 0
    seen: set[str] = set()
    waiting = [group]
    while waiting:
        each = waiting.pop()
        if each.address in seen:
            continue
        seen.add(each.address)
        if not each.members:
            stated += each.size
        for member in each.members:
            if member in lists:
                waiting.append(lists[member])
            else:
                people.add(member)
    return max(group.size, len(people) + stated)


def _approval_keys(address: str) -> Iterable[str]:
    if "@" in address:
        yield normalise(address)
        domain = domain_of(address)
    else:
        domain = ascii_domain(address)
    yield domain
    if len(domain) > DOMAIN_LIMIT:
        return
    while domain:
        yield f"*.{domain}"
        _, _, domain = domain.partition(".")


def _index_surnames(people: tuple[Person, ...]) -> dict[str, tuple[tuple[Name, Person], ...]]:
    names = (
        (parse_name(person.name), person)
        for person in people
        if person.name and any(kind is Kind.STAFF for kind, _ in person.roles)
    )
    return _collect((name.surname, (name, person)) for name, person in names if name.surname)
