"""Owns what a message shows about people: whose households it exposes to one another (2.10c), and where it uses
private accounts for the school's business (2.9).

Pure functions from addresses, the directory and the domains to values; the day is given. They state facts. Whether
a fact matters (how many households, own account or a colleague's) is for the policy's rules to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.directory import Directory, Kind, Person
from gatepost_config.domains import Domains
from gatepost_config.names import parse_name
from gatepost_milter.inspection.model import VisibleRecipient

_NOT_LETTERS = re.compile(r"[\W\d_]+")
# Shorter local parts ("jo", "it") are shared by too many strangers to mean anything.
_TELLING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Outside addresses of one household that every recipient can read, as they stand in the message.

    ``known`` says that the directory knows them as parents. Otherwise it is one address at a consumer domain,
    which may be a parent's: all that can be said without a directory, and of parents whom it does not have.
    """

    addresses: tuple[str, ...]
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateAccount:
    """A private account in the school's mail.

    ``where`` is ``recipient``, ``From`` or ``Reply-To``. ``mailbox`` is the school mailbox of the person whose
    account it is, empty if nobody knows; ``own`` says that this person sent the message. ``declared``: the
    directory lists the account; otherwise it was recognised by name or domain. ``staff`` and ``parent`` say what
    the person is: a colleague's home address may be in the message because the colleague is a parent. ``visible``
    is false for an address that the other recipients cannot read.
    """

    address: str
    where: str
    mailbox: str = ""
    own: bool = False
    declared: bool = False
    staff: bool = False
    parent: bool = False
    visible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffLikeness:
    """An outside sender who is, or calls himself like, a member of staff. ``mailboxes`` are those it could be;
    ``declared`` says that the directory lists the address as private address of just that person."""

    address: str
    display: str
    mailboxes: tuple[str, ...]
    declared: bool


def exposed_households(
    visible: Iterable[str], *, directory: Directory, domains: Domains, at: date
) -> tuple[Household, ...]:
    """The parent households that a message shows to one another by the addresses ``visible`` in To, Cc and
    Resent-To/Cc (or pasted in the text), in the order in which they appear.

    Addresses tied by a shared pupil or household id, directly or through others *in this message*, are one
    household. Not counted: addresses at the school and in a staff role, people known as something else than a
    parent, private addresses of colleagues, approved outsiders, and a message whose parents all belong to one
    agreed group.
    """
    parents: dict[str, Person] = {}
    strangers: set[str] = set()
    shown: dict[str, str] = {}
    for address in visible:
        key = normalise(address)
        if "@" not in key or key in shown:
            continue
        shown[key] = address
        parent = _parent(address, directory, domains, at)
        if parent is not None:
            parents[key] = parent
        elif _stranger(address, directory, domains, at):
            strangers.add(key)
    if _agreed(parents, strangers, directory, at):
        return ()
    place = {key: number for number, key in enumerate(shown)}
    groups = [(sorted(group, key=place.__getitem__), True) for group in _tied(parents)]
    groups += [([key], False) for key in strangers]
    groups.sort(key=lambda group: place[group[0][0]])
    return tuple(Household(addresses=tuple(shown[key] for key in keys), known=known) for keys, known in groups)


def private_recipients(
    recipients: Iterable[str], *, sender: str, directory: Directory, domains: Domains, at: date
) -> tuple[PrivateAccount, ...]:
    """The outbound ``recipients`` that are private accounts: the sender's own or somebody else's (2.9 a).

    ``sender`` is the proved mailbox, never the From field. An undeclared account is only ever taken for the
    sender's own: at a consumer domain, with the sender's name or local part.
    """
    me = directory.person(sender, at=at)
    accounts = []
    for address in recipients:
        if domains.is_institution(domain_of(address)) or directory.approved(address, at):
            continue
        owners = [each for each in directory.owners_of_personal(address, at=at) if not _only_parent(each, at)]
        owner = me if me in owners else next(iter(owners), None)
        known = directory.person(address, at=at)
        if owner is None and (known is not None or not _looks_like(address, sender, me, domains)):
            continue
        mine = owner is None or owner is me
        whose = owner or me
        accounts.append(
            PrivateAccount(
                address=address,
                where="recipient",
                mailbox=whose.address if whose else sender,
                own=mine,
                declared=owner is not None,
                staff=whose is not None and whose.is_staff(at),
                parent=any(each is not None and each.is_parent(at) for each in (known, whose)),
            )
        )
    return tuple(accounts)


def private_replies(
    *,
    from_: Iterable[VisibleRecipient],
    reply_to: Iterable[VisibleRecipient],
    sender: str,
    directory: Directory,
    domains: Domains,
    at: date,
) -> tuple[PrivateAccount, ...]:
    """The private accounts to which answers to the school's own mail would go (2.9 b): From and Reply-To at a
    consumer domain, or declared by somebody. ``sender`` is the proved mailbox."""
    me = directory.person(sender, at=at)
    accounts = []
    for where, fields in (("From", from_), ("Reply-To", reply_to)):
        for field in fields:
            owners = directory.owners_of_personal(field.address, at=at)
            if not owners and not domains.is_consumer(domain_of(field.address)):
                continue
            if directory.approved(field.address, at):
                continue
            owner = me if me in owners else next(iter(owners), None)
            accounts.append(
                PrivateAccount(
                    address=field.address,
                    where=where,
                    mailbox=owner.address if owner else "",
                    own=owner is not None and owner is me,
                    declared=owner is not None,
                    staff=owner is not None and owner.is_staff(at),
                    parent=owner is not None and owner.is_parent(at),
                )
            )
    return tuple(accounts)


def staff_outside(
    from_: Iterable[VisibleRecipient], *, directory: Directory, domains: Domains, at: date
) -> tuple[StaffLikeness, ...]:
    """The senders of an inbound message who are members of staff on a private account, or call themselves so
    (2.9 c, 3.5). Somebody whom the directory knows under that very address is nobody else: parents may well
    have a teacher's name."""
    found = []
    for field in from_:
        owners = [each for each in directory.owners_of_personal(field.address, at=at) if each.is_staff(at)]
        if owners:
            likely = owners
        elif directory.person(field.address, at=at) or directory.approved(field.address, at):
            continue
        elif domains.is_consumer(domain_of(field.address)):
            likely = list(directory.staff_named(field.display, at=at))
        else:
            continue
        if likely:
            found.append(
                StaffLikeness(
                    address=field.address,
                    display=field.display,
                    mailboxes=tuple(each.address for each in likely),
                    declared=bool(owners),
                )
            )
    return tuple(found)


def _parent(address: str, directory: Directory, domains: Domains, at: date) -> Person | None:
    """The parent whose private life the address belongs to; None for staff at work and everybody else."""
    domain = domain_of(address)
    if domains.is_school(domain):
        return None
    person = directory.person(address, at=at)
    if person is not None:
        at_work = person.is_staff(at) and not domains.is_consumer(domain)
        return person if person.is_parent(at) and not at_work else None
    owners = directory.owners_of_personal(address, at=at)
    return next((owner for owner in owners if _only_parent(owner, at)), None)


def _stranger(address: str, directory: Directory, domains: Domains, at: date) -> bool:
    """Whether the address may be a parent's of whom the directory knows nothing, or nothing any more."""
    return (
        domains.is_consumer(domain_of(address))
        and directory.person(address, at=at) is None
        and not directory.owners_of_personal(address, at=at)
        and directory.approved(address, at) is None
    )


def _only_parent(person: Person, at: date) -> bool:
    return person.kinds_at(at) == {Kind.PARENT}


def _agreed(parents: dict[str, Person], strangers: set[str], directory: Directory, at: date) -> bool:
    """Whether all who are exposed are members of one group that agreed to it. One outsider more, and the members
    are shown to somebody to whom they did not agree."""
    for group in directory.agreed_groups(at):
        if strangers <= group.members and all(
            key in group.members or not group.members.isdisjoint(_identities(person))
            for key, person in parents.items()
        ):
            return True
    return False


def _identities(person: Person) -> frozenset[str]:
    return frozenset(normalise(address) for address in (person.address, *person.aliases) if address)


def _tied(parents: dict[str, Person]) -> list[list[str]]:
    """The parents' addresses by household. A person with two addresses here is one household with himself."""
    first: dict[str, str] = {}  # tie -> the first address with it
    above: dict[str, str] = {}

    def root(key: str) -> str:
        while above[key] != key:
            above[key] = key = above[above[key]]
        return key

    for key, person in parents.items():
        above[key] = key
        for tie in (*person.ties, f"person {normalise(person.address)}"):
            above[root(key)] = root(first.setdefault(tie, key))
    groups: dict[str, list[str]] = {}
    for key in parents:
        groups.setdefault(root(key), []).append(key)
    return list(groups.values())


def _looks_like(address: str, sender: str, me: Person | None, domains: Domains) -> bool:
    """Whether an undeclared address is likely the sender's own: ``anita.patel@gmail.com`` of Anita Patel, or the
    same local part as at the school."""
    if not domains.is_consumer(domain_of(address)):
        return False
    local, mine = (each.rpartition("@")[0].partition("+")[0].lower() for each in (address, sender))
    letters = _NOT_LETTERS.sub("", local)
    if len(letters) >= _TELLING and letters == _NOT_LETTERS.sub("", mine):
        return True
    if me is None or not me.name:
        return False
    shown = parse_name(_NOT_LETTERS.sub(" ", local))
    if shown.given:
        return shown.may_be(parse_name(me.name))
    name = parse_name(me.name)
    return bool(name.given) and letters in (name.given[0] + name.surname, name.given[0][0] + name.surname)
