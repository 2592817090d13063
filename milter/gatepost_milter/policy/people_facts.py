"""Owns the facts about people: exposed households, private accounts, look-alikes of staff, and how a message is
addressed. What they mean is told in ``people``; whether it matters is for the policy's rules to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gatepost_config.addresses import normalise
from gatepost_config.words import Direction
from gatepost_milter.policy.fact_types import Fact, Field, Kind, People, Recipient, Subject, Type
from gatepost_milter.policy.people import (
    Household,
    PrivateAccount,
    StaffLikeness,
    exposed_households,
    private_recipients,
    private_replies,
    staff_outside,
)

_COPY_FIELDS = frozenset({"cc", "resent-cc"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """The recipients whom no other recipient can see, as numbers: who they are is nobody else's business."""

    recipients: int
    households: int
    inside: int


def _visible_in(subject: Subject, *, copies: bool) -> int:
    fields = (each for each in subject.inspection.recipients if (each.field.lower() in _COPY_FIELDS) is copies)
    return len({normalise(each.address) for each in fields})


def _households(addresses: Iterable[str], people: People) -> tuple[Household, ...]:
    return exposed_households(addresses, directory=people.directory, domains=people.domains, at=people.at)


def _counted(households: Iterable[Household], people: People) -> int:
    """Those that the directory knows; without parents in it, every address that may be a parent's."""
    return sum(each.known or not people.directory.has_parents for each in households)


def _exposed(subject: Subject) -> tuple[Household, ...]:
    """One household alone is shown to nobody."""
    if len(subject.shown_outside) < 2:
        return ()
    found = _households(subject.shown_outside, subject.people)
    return found if len(found) > 1 else ()


def _blind(subject: Subject) -> tuple[Blind, ...]:
    if not subject.blind:
        return ()
    households = _counted(_households(subject.blind, subject.people), subject.people)
    ways = dict(subject.ways)
    inside = sum(ways[address] is Direction.INTERNAL for address in subject.blind)
    return (Blind(recipients=len(subject.blind), households=households, inside=inside),)


def _private_recipients(subject: Subject) -> list[PrivateAccount]:
    people = subject.people
    outbound = dict.fromkeys(address for address, way in subject.ways if way is Direction.OUTBOUND)
    if not outbound:
        return []
    accounts = private_recipients(
        outbound,
        sender=subject.sender.mailbox,
        directory=people.directory,
        domains=people.domains,
        at=people.at,
    )
    return [replace(each, visible=normalise(each.address) in subject.shown) for each in accounts]


def _private_replies(subject: Subject) -> tuple[PrivateAccount, ...]:
    if not subject.sender.via:
        return ()
    people, inspection = subject.people, subject.inspection
    return private_replies(
        from_=inspection.from_,
        reply_to=inspection.reply_to,
        sender=subject.sender.mailbox,
        directory=people.directory,
        domains=people.domains,
        at=people.at,
    )


def _strays(subject: Subject) -> list[Recipient]:
    is_school = subject.people.domains.is_school
    return [
        Recipient(address=address)
        for address, way in subject.ways
        if way is Direction.INBOUND and "@" in address and not is_school(address.rpartition("@")[2])
    ]


def _staff_outside(subject: Subject) -> tuple[StaffLikeness, ...]:
    if subject.sender.via:
        return ()
    people = subject.people
    return staff_outside(
        subject.inspection.from_, directory=people.directory, domains=people.domains, at=people.at
    )


PEOPLE_KINDS = (
    Kind(
        "Household",
        "Outside addresses of one household that every recipient can read.",
        (
            Field("addresses", Type.STRINGS, "The addresses, as the message has them.", lambda h: h.addresses),
            Field(
                "known",
                Type.BOOL,
                "Whether the directory knows them as parents; else it is one address at a consumer domain.",
                lambda h: h.known,
            ),
        ),
    ),
    Kind(
        "PrivateAccount",
        "A private account in the school's mail.",
        (
            Field("address", Type.STRING, "The private address.", lambda p: p.address),
            Field("where", Type.STRING, "recipient, From or Reply-To.", lambda p: p.where),
            Field("mailbox", Type.STRING, "Its owner's mailbox at the school, or empty.", lambda p: p.mailbox),
            Field("own", Type.BOOL, "Whether it is the sender's own.", lambda p: p.own),
            Field(
                "declared",
                Type.BOOL,
                "Whether the directory lists it; else it was told by name or domain.",
                lambda p: p.declared,
            ),
            Field("staff", Type.BOOL, "Whether its owner is a member of staff.", lambda p: p.staff),
            Field("parent", Type.BOOL, "Whether its owner is a parent too.", lambda p: p.parent),
            Field(
                "pupil",
                Type.BOOL,
                "Whether its owner is a pupil.",
                look=lambda p, people: "pupil" in people.kinds(p.mailbox),
            ),
            Field(
                "visible", Type.BOOL, "Whether every recipient can read it; not so in Bcc.", lambda p: p.visible
            ),
        ),
    ),
    Kind(
        "StaffLikeness",
        "A sender outside who is a member of staff on a private account, or calls himself like one.",
        (
            Field("address", Type.STRING, "The address in From: a claim.", lambda s: s.address),
            Field("display", Type.STRING, "The name shown with it.", lambda s: s.display),
            Field("mailboxes", Type.STRINGS, "School mailboxes of those it could be.", lambda s: s.mailboxes),
            Field(
                "declared",
                Type.BOOL,
                "Whether the directory lists the address as that person's own.",
                lambda s: s.declared,
            ),
        ),
    ),
    Kind(
        "Addressing",
        "How the message is addressed.",
        (
            Field(
                "to",
                Type.INT,
                "Addresses in To and Resent-To.",
                look=lambda s, _: _visible_in(s, copies=False),
            ),
            Field(
                "cc",
                Type.INT,
                "Addresses in Cc and Resent-Cc.",
                look=lambda s, _: _visible_in(s, copies=True),
            ),
            Field(
                "outside",
                Type.INT,
                "Visible addresses that are not the school's.",
                look=lambda s, _: len(s.shown_outside),
            ),
            Field(
                "exposed_households",
                Type.INT,
                "Parents' households in To and Cc: known ones, or guessed if the directory has no parents.",
                look=lambda s, people: _counted(_exposed(s), people),
            ),
        ),
    ),
    Kind(
        "Blind",
        "The recipients whose address nobody else can read (Bcc), as numbers.",
        (
            Field("recipients", Type.INT, "How many they are.", lambda b: b.recipients),
            Field(
                "households",
                Type.INT,
                "Parents' households among them: known ones, or guessed if the directory has no parents.",
                lambda b: b.households,
            ),
            Field("inside", Type.INT, "Colleagues and pupils among them.", lambda b: b.inside),
        ),
    ),
    Kind(
        "Directory",
        "What is known about the school's people at all.",
        (
            Field("has_people", Type.BOOL, "Whether there is anybody in it.", lambda d: bool(d.people)),
            Field(
                "has_parents",
                Type.BOOL,
                "Whether any parent is in it: without, households can only be guessed.",
                lambda d: d.has_parents,
            ),
        ),
    ),
)

PEOPLE_FACTS = (
    Fact(
        "households",
        "list(Household)",
        "Households whose addresses To and Cc show to one another: none, or at least two.",
    ),
    Fact("private_recipients", "list(PrivateAccount)", "Recipients outside that are somebody's private account."),
    Fact("private_replies", "list(PrivateAccount)", "Private accounts to which answers to our mail would go."),
    Fact("staff_outside", "list(StaffLikeness)", "Inbound only: senders who seem to be members of staff."),
    Fact("blind", "list(Blind)", "One item if anybody is in Bcc, else none."),
    Fact("strays", "list(Recipient)", "Inbound only: recipients who are not at the school either."),
    Fact("addressing", "Addressing", "How the message is addressed."),
    Fact("directory", "Directory", "What is known about the school's people at all."),
)

LISTS: Mapping[str, tuple[str, Callable[[Subject], Iterable[Any]]]] = {
    "households": ("Household", _exposed),
    "blind": ("Blind", _blind),
    "strays": ("Recipient", _strays),
    "private_recipients": ("PrivateAccount", _private_recipients),
    "private_replies": ("PrivateAccount", _private_replies),
    "staff_outside": ("StaffLikeness", _staff_outside),
}
"""The list facts among them: what each is a list of, and how it is found."""
