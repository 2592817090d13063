"""Owns the shape of facts: kinds with typed fields, how often each changes, and the subject they are read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from enum import Enum
from typing import Any

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.directory import Approval, Directory
from gatepost_config.domains import Domains
from gatepost_config.words import Direction
from gatepost_milter.detect.domains_alike import Alike
from gatepost_milter.detect.once import once
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.content import Content, Detectors
from gatepost_milter.policy.past import NO_PAST, Past
from gatepost_milter.policy.standing import Standing
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.transaction import Transaction

NOTHING_STANDS = Standing()
NO_DETECTORS = Detectors()


def _none_known() -> Alike:
    return Alike(())


class Type(Enum):
    """The types of a fact's fields, with the condition language's name for each."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    STRINGS = "list(string)"


class Scope(Enum):
    """How often a fact changes within one message."""

    MESSAGE = 0
    DIRECTION = 1
    RECIPIENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Whom the school knows, on the day ``at`` in the school's own time zone, and what has been before."""

    directory: Directory
    domains: Domains
    at: date
    past: Past = NO_PAST

    def kinds(self, address: str) -> list[str]:
        """What the owner of a mailbox is to the school: staff, parent …; empty for strangers and for leavers."""
        person = self.directory.person(address, at=self.at)
        return sorted(person.kinds_at(self.at)) if person is not None else []

    def groups(self, address: str) -> list[str]:
        """The school's own words for the owner of a mailbox."""
        person = self.directory.person(address, at=self.at)
        return sorted(person.groups) if person is not None else []

    def approval(self, address: str) -> Approval | None:
        """The approval of an outside address, by itself or by its domain."""
        return self.directory.approved(address, self.at) if address else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """An envelope recipient as rules see it."""

    address: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a message's facts are read from. ``ways`` are the envelope recipients in their normal form, each with
    its direction; ``standing`` the rulings in force, whose times are shown in ``zone``; ``detectors`` what is
    looked for in its words, and ``alike`` the domains that the school knows."""

    transaction: Transaction
    inspection: Inspection
    sender: Sender
    ways: tuple[tuple[str, Direction], ...]
    people: People
    standing: Standing = NOTHING_STANDS
    zone: tzinfo = UTC
    detectors: Detectors = NO_DETECTORS
    alike: Callable[[], Alike] = _none_known

    @once
    def content(self) -> Content:
        """What the message says."""
        return Content(self.inspection, self.detectors, today=self.people.at)

    @once
    def shown(self) -> Mapping[str, str]:
        """The addresses that every recipient can read, by their identity; in the message's order."""
        shown: dict[str, str] = {}
        for each in self.inspection.recipients:
            shown.setdefault(normalise(each.address), each.address)
        return shown

    @once
    def shown_outside(self) -> tuple[str, ...]:
        """Those of them that are not the school's."""
        is_school = self.people.domains.is_school
        return tuple(address for key, address in self.shown.items() if not is_school(key.rpartition("@")[2]))

    @once
    def blind(self) -> tuple[str, ...]:
        """The envelope recipients whom no other recipient can see."""
        return tuple(address for address, _ in self.ways if normalise(address) not in self.shown)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind. ``get`` reads the value from the object that the kind describes.

    ``look`` is given instead where the value must be looked up among the people: that costs time, so it is done
    only if some condition names the field. ``choices`` are all values that a text can have, where they are few.
    """

    name: str
    type: Type
    meaning: str
    get: Callable[[Any], Any] | None = None
    look: Callable[[Any, People], Any] | None = None
    choices: tuple[str, ...] = ()


# Of whatever has an ``address``.
DOMAIN = Field("domain", Type.STRING, "The address's domain.", lambda thing: domain_of(thing.address))
OWNER_KINDS = Field(
    "kinds",
    Type.STRINGS,
    "What the directory says its owner is: staff, parent … (several).",
    look=lambda thing, people: people.kinds(thing.address),
)
CONSUMER = Field(
    "consumer",
    Type.BOOL,
    "Whether the public has its mail at this domain.",
    look=lambda thing, people: people.domains.is_consumer(domain_of(thing.address)),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of thing, with its fields."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A name that a condition may use. ``type`` is a kind's name, ``list(Kind)`` or ``string``.

    ``words`` says that it is read from what the message says: a rule that asks for it is a text rule.
    """

    name: str
    type: str
    meaning: str
    scope: Scope = Scope.MESSAGE
    words: bool = False
