"""Owns the facts: the typed, documented catalogue of what a rule may look at, and how each is obtained.

The catalogue is the one source for the condition language's types, for the values, and for the documentation.
Facts are frozen into protocol-buffer messages, because the condition language checks names and types of those
when a policy is loaded. Facts hold what hostile mail says; texts are made valid, and are otherwise as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from gatepost_config.addresses import domain_of
from gatepost_config.phrase_lists import PhraseList
from gatepost_config.policy_document import Limit
from gatepost_milter.inspection.defects import severity
from gatepost_milter.inspection.model import Attachment, Defect, FileClass
from gatepost_milter.policy.content_facts import ATTACHMENT_FIELDS, CONTENT_FACTS, CONTENT_KINDS, CONTENT_LISTS
from gatepost_milter.policy.fact_types import (
    CONSUMER,
    DOMAIN,
    OWNER_KINDS,
    Fact,
    Field,
    Kind,
    People,
    Scope,
    Subject,
    Type,
)
from gatepost_milter.policy.history_facts import (
    HISTORY_FACTS,
    HISTORY_KINDS,
    HISTORY_LISTS,
    SENDER_FIELDS,
)
from gatepost_milter.policy.people_facts import LISTS, PEOPLE_FACTS, PEOPLE_KINDS

PACKAGE = "gatepost"
_INT64 = 2**63 - 1


_CLASS_MEANINGS = {
    FileClass.EXECUTABLE: "A program, by content or by name.",
    FileClass.SCRIPT: "A script that some system runs when it is opened.",
    FileClass.MACRO: "A document with macros.",
    FileClass.SHORTCUT: "A shortcut that starts something when it is opened.",
    FileClass.INSTALLER: "An installer package.",
    FileClass.DISK_IMAGE: "A disk image.",
    FileClass.ARCHIVE: "A container of files.",
    FileClass.ENCRYPTED: "Encrypted: the content cannot be seen.",
    FileClass.OPAQUE: "Could not be opened to the bottom: damaged, unknown, or a limit was reached.",
    FileClass.PLAIN: "Harmless by content: plain text.",
}


def _has_class(wanted: FileClass) -> Callable[[Attachment], bool]:
    return lambda attachment: wanted in attachment.classes


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "Attachment",
            "A file that some mail program could hand to its user, or a file inside such a file.",
            (
                Field("name", Type.STRING, "The name to show.", lambda a: a.name),
                Field("names", Type.STRINGS, "Every name that some mail program could use.", lambda a: a.names),
                Field("path", Type.STRING, "The way to it: part 2 › a.zip › setup.exe.", lambda a: a.path),
                Field("part", Type.STRING, "Number of the MIME part: 2.1.", lambda a: a.part),
                Field("claimed", Type.STRING, "Media type that the message states.", lambda a: a.claimed),
                Field("detected", Type.STRING, "Media type that the content shows.", lambda a: a.detected),
                Field("size", Type.INT, "Decoded bytes; -1 if unknown.", lambda a: a.size),
                Field("depth", Type.INT, "0 for a MIME part; one more in each container.", lambda a: a.depth),
                Field("tier", Type.STRING, "Strictest tier of its names: T1 to T5, or empty.", lambda a: a.tier),
                Field("reason", Type.STRING, "What put it in its classes, in words.", lambda a: a.reason),
                Field("classes", Type.STRINGS, "All its classes.", lambda a: sorted(c.value for c in a.classes)),
                *(
                    Field(each.value.replace("-", "_"), Type.BOOL, _CLASS_MEANINGS[each], _has_class(each))
                    for each in FileClass
                ),
                *ATTACHMENT_FIELDS,
            ),
        ),
        Kind(
            "Sender",
            "Who sent the message: proved by a login or a trusted relay, never by the From field.",
            (
                Field("known", Type.BOOL, "Whether a login or relay proved a mailbox.", lambda s: s.known),
                Field("mailbox", Type.STRING, "The mailbox; empty if nobody is known.", lambda s: s.mailbox),
                Field("domain", Type.STRING, "The mailbox's domain.", lambda s: domain_of(s.mailbox)),
                Field("via", Type.STRING, "login, relay, or empty for mail from outside.", lambda s: s.via),
                Field(
                    "kinds",
                    Type.STRINGS,
                    "What the directory says they are: staff, parent … (several).",
                    look=lambda s, people: people.kinds(s.mailbox),
                ),
                Field(
                    "groups",
                    Type.STRINGS,
                    "The directory's words for them: hr, exams and the like.",
                    look=lambda s, people: people.groups(s.mailbox),
                ),
                *SENDER_FIELDS,
            ),
        ),
        Kind(
            "Recipient",
            "One envelope recipient.",
            (
                Field("address", Type.STRING, "The address, domain in lower case.", lambda r: r.address),
                DOMAIN,
                Field("roles", Type.STRINGS, "The policy's roles whose mailbox this is.", lambda r: r.roles),
                Field(
                    "kinds",
                    Type.STRINGS,
                    "What the directory says they are: staff, parent … (several).",
                    look=lambda r, people: people.kinds(r.address),
                ),
                Field(
                    "groups",
                    Type.STRINGS,
                    "The directory's words for them: hr, exams and the like.",
                    look=lambda r, people: people.groups(r.address),
                ),
                Field(
                    "approved",
                    Type.BOOL,
                    "Whether the directory approves the outside address or its domain.",
                    look=lambda r, people: people.approval(r.address) is not None,
                ),
                Field(
                    "approved_for",
                    Type.STRING,
                    "The purpose of that approval: exam-board and the like.",
                    look=lambda r, people: getattr(people.approval(r.address), "purpose", ""),
                ),
                CONSUMER,
                Field(
                    "institution",
                    Type.BOOL,
                    "Whether the domain is a school's, health's, government's or the like.",
                    look=lambda r, people: people.domains.is_institution(domain_of(r.address)),
                ),
                Field(
                    "list_size",
                    Type.INT,
                    "How many people are on it, if the directory knows it as a list; else 0.",
                    look=lambda r, people: people.directory.group_size(r.address),
                ),
            ),
        ),
        Kind(
            "Message",
            "The message as a whole.",
            (
                Field("size", Type.INT, "Bytes of the whole message.", lambda s: s.inspection.size),
                Field("subject", Type.STRING, "The subject, decoded.", lambda s: s.inspection.subject),
                Field("message_id", Type.STRING, "The Message-ID.", lambda s: s.inspection.message_id),
                Field("automatic", Type.BOOL, "Sent by a machine (RFC 3834).", lambda s: s.inspection.automatic),
                Field("parts", Type.INT, "How many MIME parts it has.", lambda s: len(s.inspection.parts)),
                Field(
                    "recipients",
                    Type.INT,
                    "How many envelope recipients.",
                    lambda s: len(s.transaction.recipients),
                ),
                Field(
                    "envelope_sender",
                    Type.STRING,
                    "The envelope sender as given, believed or not; empty for bounces.",
                    lambda s: s.transaction.sender.address,
                ),
                Field(
                    "from_addresses",
                    Type.STRINGS,
                    "Addresses in From: a claim, never proof.",
                    lambda s: [each.address for each in s.inspection.from_],
                ),
                Field(
                    "reply_to",
                    Type.STRINGS,
                    "Addresses in Reply-To.",
                    lambda s: [each.address for each in s.inspection.reply_to],
                ),
            ),
        ),
        Kind(
            "Visible",
            "An address that every recipient can read in To, Cc, Resent-To or Resent-Cc.",
            (
                Field("address", Type.STRING, "The address.", lambda v: v.address),
                DOMAIN,
                Field("field", Type.STRING, "The header field it stands in.", lambda v: v.field),
                Field("display", Type.STRING, "The name shown with it.", lambda v: v.display),
                OWNER_KINDS,
                CONSUMER,
            ),
        ),
        Kind(
            "Defect",
            "A way in which the message bends the standards; each code once, with the first place it was seen.",
            (
                Field("code", Type.STRING, "A fixed word with hyphens.", lambda d: d[0].code),
                Field(
                    "severity",
                    Type.STRING,
                    "sloppy, ambiguous (mail programs differ) or uninspectable (nobody has seen it all).",
                    lambda d: severity(d[0].code).value,
                ),
                Field("where", Type.STRING, "The first part it was seen in.", lambda d: d[0].where),
                Field("detail", Type.STRING, "A few plain words.", lambda d: d[0].detail),
                Field("count", Type.INT, "How many times it was seen.", lambda d: d[1]),
            ),
        ),
        Kind(
            "Client",
            "The SMTP client that handed the message in.",
            (
                Field("address", Type.STRING, "IP address.", lambda c: c.address),
                Field("name", Type.STRING, "Verified host name, or unknown.", lambda c: c.name),
                Field("helo", Type.STRING, "The name in HELO or EHLO: a claim.", lambda c: c.helo),
                Field("tls", Type.BOOL, "Whether the connection was encrypted.", lambda c: bool(c.tls_version)),
                Field("tls_version", Type.STRING, "TLS version, or empty.", lambda c: c.tls_version),
                Field("tls_name", Type.STRING, "Name in a verified certificate, or empty.", lambda c: c.tls_name),
                Field("login", Type.STRING, "SASL login, or empty.", lambda c: c.login),
            ),
        ),
        *PEOPLE_KINDS,
        *HISTORY_KINDS,
        *CONTENT_KINDS,
    )
}

FACTS: Mapping[str, Fact] = {
    fact.name: fact
    for fact in (
        Fact("attachments", "list(Attachment)", "Every file in the message, containers opened."),
        Fact("defects", "list(Defect)", "The ways in which the message bends the standards."),
        Fact("visible", "list(Visible)", "The addresses that every recipient can read."),
        *PEOPLE_FACTS,
        *HISTORY_FACTS,
        *CONTENT_FACTS,
        Fact("message", "Message", "The message as a whole."),
        Fact("sender", "Sender", "Who sent the message."),
        Fact("client", "Client", "The SMTP client."),
        Fact("direction", "string", "inbound, outbound or internal, for this recipient.", Scope.DIRECTION),
        Fact("recipient", "Recipient", "This recipient.", Scope.RECIPIENT),
        Fact("limit", "Limit", "The policy's limits, by name."),
        Fact("lists", "Lists", "The policy's lists of texts, by name."),
    )
}


_LISTS: Mapping[str, tuple[str, Callable[[Subject], Iterable[Any]]]] = {
    "attachments": ("Attachment", lambda subject: subject.inspection.attachments),
    "defects": ("Defect", lambda subject: counted(subject.inspection.defects)),
    "visible": ("Visible", lambda subject: subject.inspection.recipients),
    **LISTS,
    **HISTORY_LISTS,
    **CONTENT_LISTS,
}
_THINGS: Mapping[str, Callable[[Subject], Any]] = {
    "sender": lambda subject: subject.sender,
    "client": lambda subject: subject.transaction.client,
    "message": lambda subject: subject,
    "addressing": lambda subject: subject,
    "writing": lambda subject: subject,
    "directory": lambda subject: subject.people.directory,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Of each kind, the fields that are read, and those that are looked up because some condition names them."""

    fields: Mapping[str, tuple[tuple[Field, ...], tuple[Field, ...]]]


class Catalogue:
    """The facts of one policy: its types for the condition language, and the way from a message to values.

    ``limits`` and ``lists`` are the policy's own and get fields of their own, so that a misspelt name is
    found when the policy is loaded. ``phrase_lists`` are those that it searches for. ``choices`` are, for a field
    of a kind, all texts that it can be; empty where that may be any.
    """

    def __init__(
        self,
        *,
        limits: Mapping[str, Limit],
        lists: Mapping[str, Sequence[str]],
        phrase_lists: Sequence[PhraseList] = (),
    ) -> None:
        fields = {name: [(each.name, each.type) for each in kind.fields] for name, kind in KINDS.items()}
        fields["Limit"] = [
            (name, Type.INT if isinstance(value, int) else Type.STRING) for name, value in limits.items()
        ]
        fields["Lists"] = [(name, Type.STRINGS) for name in lists]
        self.fields: Mapping[str, Sequence[str]] = {
            kind: [name for name, _ in members] for kind, members in fields.items()
        }
        self.choices: dict[tuple[str, str], Collection[str]] = {
            (kind.name, field.name): field.choices for kind in KINDS.values() for field in kind.fields
        }
        self.choices["Listed", "list"] = {each.name for each in phrase_lists} or {""}
        self.choices["Listed", "category"] = {each.category for each in phrase_lists} or {""}
        self.pool = _pool(fields)
        self._classes = {
            name: message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
            for name in fields
        }
        self.limits = limits
        self.lists = lists
        self._constants = {
            "limit": self._classes["Limit"](**limits),
            "lists": self._classes["Lists"](**lists),
        }

    def variables(self) -> dict[str, cel.Type]:
        """The condition language's type of every fact."""
        return {fact.name: _cel_type(fact.type) for fact in FACTS.values()}

    def asking(self, words: Set[str]) -> Asked:
        """Which fields to fill in for conditions that are made of ``words``."""
        return Asked(
            {
                name: (
                    tuple(each for each in kind.fields if each.look is None),
                    tuple(each for each in kind.fields if each.look is not None and each.name in words),
                )
                for name, kind in KINDS.items()
            }
        )

    def thing(self, name: str, subject: Subject) -> Any:
        """What a fact that does not change within the message is read from: an object of its kind, or a list."""
        if name in _LISTS:
            return list(_LISTS[name][1](subject))
        return _THINGS[name](subject)

    def is_constant(self, name: str) -> bool:
        """Whether the policy alone says what the fact is."""
        return name in self._constants

    def value(self, name: str, thing: Any, people: People, asked: Asked) -> Any:
        """The value of a fact for the condition language, from what it is read from."""
        if name in self._constants:
            return self._constants[name]
        kind = FACTS[name].type
        if kind.startswith("list("):
            kind = kind[5:-1]
            return [self._message(kind, each, people, asked) for each in thing]
        return self._message(kind, thing, people, asked)

    def _message(self, kind: str, thing: Any, people: People, asked: Asked) -> Message:
        read, looked_up = asked.fields[kind]
        found = [(field, field.get(thing)) for field in read if field.get]
        found += [(field, field.look(thing, people)) for field in looked_up if field.look]
        values = {field.name: PLAIN[field.type](value) for field, value in found if value}
        return self._classes[kind](**values)


def counted(defects: Sequence[Defect]) -> list[tuple[Defect, int]]:
    """Each code once, with its first defect and how often it was seen: a hostile message has no long list."""
    first: dict[str, Defect] = {}
    count: dict[str, int] = {}
    for defect in defects:
        first.setdefault(defect.code, defect)
        count[defect.code] = count.get(defect.code, 0) + 1
    return [(first[code], count[code]) for code in first]


def text(value: str | None) -> str:
    """A text that the condition language takes: lone surrogates (from raw 8-bit header fields) become ``?``.

    Never cut: what a rule looks for could stand behind the cut.
    """
    if not value:
        return ""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def _texts(values: Iterable[str] | None) -> list[str]:
    return [text(each) for each in values or ()]


def _number(value: int | None) -> int:
    return max(-_INT64, min(_INT64, value or 0))


PLAIN: Mapping[Type, Callable[[Any], Any]] = {
    Type.BOOL: bool,
    Type.INT: _number,
    Type.STRING: text,
    Type.STRINGS: _texts,
}
"""What the condition language sees of a field's value, for each type of field."""


def _pool(fields: Mapping[str, Sequence[tuple[str, Type]]]) -> descriptor_pool.DescriptorPool:
    """A pool of our own, so that two policies with different limits can live in one process."""
    kinds = descriptor_pb2.FieldDescriptorProto
    types = {
        Type.BOOL: (kinds.TYPE_BOOL, kinds.LABEL_OPTIONAL),
        Type.INT: (kinds.TYPE_INT64, kinds.LABEL_OPTIONAL),
        Type.STRING: (kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        Type.STRINGS: (kinds.TYPE_STRING, kinds.LABEL_REPEATED),
    }
    file = descriptor_pb2.FileDescriptorProto(name="gatepost/facts.proto", package=PACKAGE, syntax="proto3")
    for kind, members in fields.items():
        message = file.message_type.add(name=kind)
        for number, (name, member_type) in enumerate(members, 1):
            wire_type, label = types[member_type]
            message.field.add(name=name, number=number, type=wire_type, label=label, json_name=name)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _cel_type(name: str) -> cel.Type:
    if name == "string":
        return cel.Type.STRING
    if name.startswith("list("):
        return cel.Type.List(_cel_type(name[5:-1]))
    return cel.Type(f"{PACKAGE}.{name}")
