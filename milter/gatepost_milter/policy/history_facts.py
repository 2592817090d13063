"""Owns the facts that look back, and to what stands for a time: correspondents, counts of a day, the same content
sent many times, people who have left, and blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.directory import Person
from gatepost_config.words import Direction
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.fact_types import Fact, Field, Kind, People, Subject, Type
from gatepost_milter.policy.past import Alike
from gatepost_milter.policy.standing import Block, Party
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.transaction import Transaction

CLAIMS = 3
"""Addresses in From that are looked at; a message that a person wrote has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondent:
    """An outside sender and one recipient at the school. ``listed``: the directory knows the sender."""

    address: str
    recipient: str
    wrote: bool
    known: bool
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """Somebody who is nothing to the school any more. ``days`` is how long ago their last day was."""

    address: str
    where: str
    days: int
    kinds: tuple[str, ...]


def own_address(address: str, people: People) -> str:
    """The main address of whose address it is, in any spelling; the address itself of nobody known."""
    person = people.directory.person(address)
    return person.address if person is not None and person.address else address


def claimed_senders(transaction: Transaction, inspection: Inspection) -> list[str]:
    """Who an inbound message says it is from: From, as its reader sees it, or else the envelope."""
    claims = [each.address for each in inspection.from_ if "@" in each.address]
    if not claims and transaction.sender.address:
        claims = [transaction.sender.address]
    return claims if len(claims) < 2 else list({normalise(each): each for each in claims[:CLAIMS]}.values())


def _correspondents(subject: Subject) -> Iterator[Correspondent]:
    return _met(subject, strangers_only=False)


def _first_contacts(subject: Subject) -> Iterator[Correspondent]:
    return _met(subject, strangers_only=True)


def _met(subject: Subject, *, strangers_only: bool) -> Iterator[Correspondent]:
    if subject.sender.via:
        return
    people = subject.people
    day = people.at.toordinal()
    for address in claimed_senders(subject.transaction, subject.inspection):
        for recipient, way in subject.ways:
            if way is not Direction.INBOUND:
                continue
            found = people.past.acquaintance(own_address(recipient, people), address, day=day)
            if not (found.known and strangers_only):
                yield Correspondent(
                    address=address,
                    recipient=recipient,
                    wrote=found.wrote,
                    known=found.known,
                    listed=_is_listed(address, people),
                )


def _is_listed(address: str, people: People) -> bool:
    return people.directory.person(address, at=people.at) is not None or people.approval(address) is not None


def content_of(inspection: Inspection) -> Iterator[str]:
    """What makes two messages the same content: subject, texts, and the files by name and size."""
    yield inspection.subject
    for text in inspection.texts:
        yield text.text
    for each in inspection.attachments:
        yield f"{each.name} {each.size}"


def outside_recipients(ways: Iterable[tuple[str, Direction]]) -> list[str]:
    """The envelope recipients to whom the message leaves the school."""
    return [address for address, way in ways if way is Direction.OUTBOUND]


def _mass(subject: Subject) -> tuple[Alike, ...]:
    outside = outside_recipients(subject.ways)
    if not outside or not subject.sender.known:
        return ()
    day = subject.people.at.toordinal()
    alike = subject.people.past.alike(subject.sender.mailbox, content_of(subject.inspection), outside, day=day)
    return (alike,) if alike.earlier else ()


def is_private(recipient: str, people: People) -> bool:
    """Whether an outside recipient is nobody's whom the school knows, at a domain of the public."""
    if not people.domains.is_consumer(domain_of(recipient)):
        return False
    return not _is_listed(recipient, people)


def _private_senders(subject: Subject) -> tuple[Sender, ...]:
    sender, people = subject.sender, subject.people
    if not sender.known or not people.past.private(sender.mailbox, day=people.at.toordinal()):
        return ()
    return (sender,)


def _leavers(subject: Subject) -> Iterator[Leaver]:
    """Leavers whose mailbox gets the message, who send it, or whose private address an inbound one comes from."""
    people = subject.people
    for address, way in subject.ways:
        if way is not Direction.OUTBOUND:
            yield from _left(people.directory.person(address), address, "recipient", people)
    if subject.sender.known:
        mailbox = subject.sender.mailbox
        yield from _left(people.directory.person(mailbox), mailbox, "sender", people)
    elif not subject.sender.via:
        for address in claimed_senders(subject.transaction, subject.inspection):
            for owner in people.directory.owners_of_personal(address):
                yield from _left(owner, address, "From", people)


def _left(person: Person | None, address: str, where: str, people: People) -> Iterator[Leaver]:
    if person is None or person.current(people.at):
        return
    ends = [span.ends for _, span in person.roles if span.ends is not None and span.ends < people.at]
    if ends and all(span.starts is None or span.starts <= people.at for _, span in person.roles):
        kinds = tuple(sorted(person.kinds))
        yield Leaver(address=address, where=where, days=(people.at - max(ends)).days, kinds=kinds)


def _blocks(subject: Subject) -> list[Block]:
    standing = subject.standing
    if not standing.blocks:
        return []
    people, sender = subject.people, subject.sender
    if sender.known:
        senders = Party.of(sender.mailbox, own_address(sender.mailbox, people))
    else:
        # Nobody has proved who it is; for being held, what the message claims is enough.
        claims = (each.address for each in subject.inspection.from_)
        senders = Party.of(subject.transaction.sender.address, *claims)
    return standing.blocking(
        senders=senders,
        recipients={address: Party.of(address, own_address(address, people)) for address, _ in subject.ways},
        attachments=subject.inspection.attachments,
        at=subject.transaction.received_at,
        zone=subject.zone,
    )


SENDER_FIELDS = (
    Field(
        "sent_today",
        Type.INT,
        "Messages that they have sent today, before this one.",
        look=lambda s, people: people.past.sent(s.mailbox, day=people.at.toordinal()) if s.known else 0,
    ),
    Field(
        "private_today",
        Type.INT,
        "Those of them that went to consumer domains and to nobody whom the directory knows.",
        look=lambda s, people: people.past.private(s.mailbox, day=people.at.toordinal()) if s.known else 0,
    ),
)
"""What the kind Sender has besides: counted from memory, and only if some condition names it."""

HISTORY_KINDS = (
    Kind(
        "Correspondent",
        "An outside sender, as From claims, and one recipient at the school.",
        (
            Field("address", Type.STRING, "The sender's address: a claim.", lambda c: c.address),
            Field("recipient", Type.STRING, "The recipient's address.", lambda c: c.recipient),
            Field("written_to", Type.BOOL, "Whether the recipient has written to them before.", lambda c: c.wrote),
            Field(
                "known",
                Type.BOOL,
                "Whether the recipient has written to them before, or heard from them on an earlier day.",
                lambda c: c.known,
            ),
            Field("first_contact", Type.BOOL, "The opposite of known.", lambda c: not c.known),
            Field(
                "listed",
                Type.BOOL,
                "Whether the directory has the sender's address, as somebody's or as approved.",
                lambda c: c.listed,
            ),
        ),
    ),
    Kind(
        "Mass",
        "The same content (subject, text, names and sizes of files) sent by the same sender today.",
        (
            Field("recipients", Type.INT, "Outside addresses, with this message.", lambda m: m.recipients),
            Field("earlier", Type.INT, "Outside addresses before this message.", lambda m: m.earlier),
        ),
    ),
    Kind(
        "Leaver",
        "Somebody in the directory whose last day is over.",
        (
            Field("address", Type.STRING, "Their address here.", lambda p: p.address),
            Field(
                "where",
                Type.STRING,
                "recipient or sender, for their school mailbox; From, for their private address.",
                lambda p: p.where,
            ),
            Field("days", Type.INT, "Days since their last day.", lambda p: p.days),
            Field("kinds", Type.STRINGS, "What they were: staff, pupil … (several).", lambda p: p.kinds),
        ),
    ),
    Kind(
        "Block",
        "A block that somebody made for a time, and that concerns this message (`gatepost block`).",
        (
            Field("about", Type.STRING, "Whom and what it is about.", lambda b: b.about),
            Field("reason", Type.STRING, "Why.", lambda b: b.reason),
            Field("by", Type.STRING, "Who made it.", lambda b: b.by),
            Field("until", Type.STRING, "When it ends, in the school's time zone.", lambda b: b.until),
            Field("recipients", Type.STRINGS, "The recipients that it concerns.", lambda b: b.recipients),
        ),
    ),
)

HISTORY_FACTS = (
    Fact("correspondents", "list(Correspondent)", "Inbound only: the sender with each recipient."),
    Fact("first_contacts", "list(Correspondent)", "Those of them between whom there was no mail before."),
    Fact("mass", "list(Mass)", "One item if the sender sent the same content outside before today, else none."),
    Fact("private_senders", "list(Sender)", "The sender, if there was private mail of theirs today, else none."),
    Fact("leavers", "list(Leaver)", "People who have left and have to do with the message."),
    Fact("blocks", "list(Block)", "The blocks that concern the message."),
)

HISTORY_LISTS: Mapping[str, tuple[str, Callable[[Subject], Iterable[Any]]]] = {
    "correspondents": ("Correspondent", _correspondents),
    "first_contacts": ("Correspondent", _first_contacts),
    "mass": ("Mass", _mass),
    "private_senders": ("Sender", _private_senders),
    "leavers": ("Leaver", _leavers),
    "blocks": ("Block", _blocks),
}
