"""Owns the schema of a policy document: roles, limits, lists, exemptions, rules and the document's own tests.

The document knows nothing about a particular school: ``{domain}`` stands for the school's main domain, and the
settings may give a role other mailboxes. What a condition may say is checked by the policy room, which knows
the facts; everything else is checked here, so that a bad document never loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator

from gatepost_config.settings import Document, Model
from gatepost_config.words import Action, Direction, Mode

REPLY_OCTETS = 200
"""An SMTP reply longer than this is cut or hidden by mail programs (RFC 5321 allows 512 for the line)."""

PLACEHOLDERS: Mapping[str, str] = {
    "names": "What was found, by name: “setup.exe” and “tool.scr”.",
    "sizes": "The sizes of the files that were found: 12.3 MB.",
    "reasons": "What the files are, in plain words: a Windows program.",
    "it_is": "“it is” or “they are”, to agree with {names}.",
    "it": "“it” or “they”, to agree with {names}.",
    "them": "“it” or “them”, to agree with {names}.",
    "count": "How many things were found: 3.",
    "clause": "The rule's clause.",
    "policy": "The policy's title.",
    "school": "The school's name.",
    "domain": "The school's main domain.",
    "limit.NAME": "The limit of that name; a name that ends in _bytes is shown as a size.",
    "role.NAME": "The title of that role: IT Support.",
    "mailbox.NAME": "The first mailbox of that role.",
}
"""The closed list of what may stand in braces in ``say`` and ``mend``, and what it becomes."""

EVIDENCE_PLACEHOLDERS = frozenset({"names", "sizes", "reasons", "it_is", "it", "them", "count"})
"""Placeholders that speak of what was found; never in ``reply``, because SMTP text travels in the clear."""

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

TELL_WORDS = frozenset({"sender", "recipients"})
"""Whom ``tell`` may name besides roles."""

_CEL_WORDS = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"),
        *("let", "loop", "package", "namespace", "null", "return", "true", "var", "void", "while"),
    }
)

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=60)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=60)]
FactName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
RoleMailbox = Annotated[str, StringConstraints(pattern=r"^[^\s@<>{}]+@([^\s@<>{}]+|\{domain\})$")]
Who = Annotated[str, StringConstraints(pattern=r"^[^\s@<>]*@[^\s@<>]+$")]


def _limit(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a limit is a whole number or a text")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("the number is too large")
    return value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _by_direction(value: Any) -> Any:
    if isinstance(value, str):
        return {direction.value: value for direction in Direction}
    return value


def _by_recipient(value: Any) -> Any:
    return {"*": value} if isinstance(value, str) else value


Limit = Annotated[int | str, BeforeValidator(_limit)]
Conditions = Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str])]
ActionByDirection = Annotated[
    dict[Direction, Action],
    BeforeValidator(_by_direction, json_schema_input_type=Action | dict[Direction, Action]),
]
ActionByRecipient = Annotated[
    dict[str, Action], BeforeValidator(_by_recipient, json_schema_input_type=Action | dict[str, Action])
]


class Role(Model):
    """A duty at the school, and the mailboxes of those who have it."""

    title: str = Field(min_length=1, description="What people call the role.")
    safeguarding: bool = Field(
        default=False,
        description="Whether children's safety is its duty: rules that read what a message says never act on its "
        "mail.",
    )
    mailboxes: list[RoleMailbox] = Field(
        default=[], description="Addresses such as it.support@{domain}; the settings may override them."
    )
    opens_case_for: RoleName | None = Field(
        default=None,
        description="What somebody known sends to these mailboxes opens a case for that role, which is told; the "
        "mail itself is delivered. For an address like report-mail@{domain}.",
    )
    instead: RoleName | None = Field(
        default=None,
        description="The role that is told, and reviews, when the mail was sent by somebody whose mailbox is "
        "among these: nobody reviews their own case.",
    )


class Exemption(Model):
    """Somebody for whom a rule does not act, until a day. The finding is still made and explained."""

    who: Who = Field(description="A mailbox (name@domain), or everyone at a domain (@domain).")
    rule: RuleId = Field(description="The rule that does not act.")
    party: Literal["sender", "recipient"] = Field(
        default="sender", description="Exempt as the sender (only when a login or relay proves it) or recipient."
    )
    until: date = Field(description="The last day of the exemption, in the school's time zone, as YYYY-MM-DD.")
    approved_by: str = Field(min_length=1, description="Who approved it.")
    reason: str = Field(default="", description="Why.")


class Rule(Model):
    """A condition over facts, and what follows when it holds."""

    id: RuleId = Field(description="Lower-case words joined by hyphens; unique; stays the same for ever.")
    clause: str = Field(default="", description="Where the school's own document says so: KCS 2.6.")
    title: str = Field(min_length=1, description="The rule in a few words, for lists.")
    find: Conditions = Field(
        min_length=1,
        description="One or more CEL expressions that give a list; what is in it is the evidence, and the rule "
        "fires when anything is. An expression that gives true or false fires without evidence.",
    )
    when: str = Field(default="", description="A CEL expression that gives true or false: a further condition.")
    action: ActionByDirection = Field(
        min_length=1, description="What to do: one action, or one for each direction that the rule is for."
    )
    queue: str = Field(default="", description="The role that reviews what is held.")
    tell: list[str] = Field(default=[], description="Roles to notify; also the words sender and recipients.")
    override: Literal["sender", "reviewer"] = Field(
        default="sender",
        description="Who may send on what the rule holds with confirm: the sender, with a reason, or only a "
        "reviewer; the sender may then withdraw it or ask one.",
    )
    mode: Mode = Field(default=Mode.ENFORCE, description="How far the rule may go.")
    code: Annotated[str, StringConstraints(pattern=r"^5\d\d 5\.\d{1,3}\.\d{1,3}$")] = Field(
        default="550 5.7.1", description="SMTP code and enhanced status code of a refusal: 552 5.3.4."
    )
    reply: str = Field(
        default="", description=f"SMTP text of a refusal: ASCII, at most {REPLY_OCTETS} octets, no file names."
    )
    say: str = Field(min_length=1, description="The sentence a person reads: what happened and why.")
    mend: str = Field(default="", description="What would let the message pass.")


class SampleAttachment(Model):
    """A file in a test message. Left-out facts are those of a harmless text file."""

    name: str = Field(description="File name; inside containers, as in “invoice.zip › setup.exe”.")
    size: int = Field(default=1000, ge=0, description="Decoded bytes.")
    classes: list[str] = Field(default=[], description="File classes: executable, script, archive …")
    tier: str = Field(default="", description="Tier of the name in the list of file types: T1 to T5.")
    text: str = Field(default="", description="The words in it; cells apart by tabs.")
    detected: str = Field(default="text/plain", description="Media type by content.")


class SampleMessage(Model):
    """A small message: what inspection would find, and the envelope."""

    login: str = Field(default="", description="SASL login; empty for mail from outside.")
    sender: str = Field(default="someone@outside.example", description="Envelope sender.")
    recipients: list[str] = Field(
        default=[],
        description="Envelope recipients; {mailbox.NAME} and {domain} work in all addresses. Left out, those of "
        "to and cc, or without them someone@{domain}.",
    )
    from_: list[str] = Field(
        default=[],
        alias="from",
        description="Addresses in From, also with a name: Anita Patel <a.patel@gmail.com>.",
    )
    reply_to: list[str] = Field(default=[], description="Addresses in Reply-To.")
    to: list[str] = Field(default=[], description="Addresses in To; left out with cc, all recipients.")
    cc: list[str] = Field(default=[], description="Addresses in Cc.")
    subject: str = Field(default="A test", description="Subject.")
    text: str = Field(default="", description="The words of the message.")
    html: str = Field(default="", description="The words of the message in HTML, beside or instead of text.")
    malware: list[str] = Field(default=[], description="Names under which a virus scanner knows what it holds.")
    size: int = Field(default=10_000, ge=0, description="Bytes of the whole message.")
    attachments: list[SampleAttachment] = Field(default=[], description="Files that inspection finds.")
    defects: list[str] = Field(default=[], description="Codes of defects that inspection finds.")
    automatic: bool = Field(default=False, description="Whether the message says that it was sent by a machine.")
    first_contact: bool = Field(
        default=False, description="Whether there was no mail between sender and recipients before."
    )
    sent_today: int = Field(default=0, ge=0, description="Messages that the sender has sent today.")
    private_today: int = Field(default=0, ge=0, description="Those of them that were private.")
    alike_today: int = Field(
        default=0, ge=0, description="Other outside addresses to which the sender sent the same content today."
    )
    blocked: str = Field(default="", description="Why mail to the first recipient is blocked; empty if it is not.")

    @property
    def envelope(self) -> list[str]:
        """The envelope recipients."""
        return self.recipients or [*self.to, *self.cc] or ["someone@{domain}"]

    @property
    def visible(self) -> list[tuple[str, str]]:
        """The addresses that everybody can read, each with its field."""
        if not self.to and not self.cc:
            return [("To", each) for each in self.envelope]
        return [*(("To", each) for each in self.to), *(("Cc", each) for each in self.cc)]


class SamplePerson(Model):
    """Somebody whom the tests' directory knows."""

    address: str = Field(description="Mail address: at the school, or a parent's own.")
    name: str = Field(default="", description="Full name.")
    kinds: list[Literal["staff", "pupil", "parent", "governor", "volunteer", "supplier", "role"]] = Field(
        min_length=1, description="What they are, as in the directory."
    )
    login: list[str] = Field(default=[], description="Login names, if not the address itself.")
    groups: list[str] = Field(default=[], description="Words of the school's own: hr, exams.")
    pupil: list[str] = Field(default=[], description="Pupil ids; of a parent, those of the children.")
    personal_addresses: list[str] = Field(default=[], description="Private addresses that they declared.")
    section: str = Field(default="", description="Section of the school: junior, senior.")
    supervisors: list[str] = Field(default=[], description="Addresses of their heads of department or year.")
    left: int | None = Field(
        default=None, ge=1, description="Days since their last day; left out, they are still at the school."
    )


class SampleGroup(Model):
    """People who agreed that their addresses are seen by one another."""

    name: str = Field(default="", description="What people call the group.")
    members: list[str] = Field(min_length=1, description="Their addresses.")


class SampleApproval(Model):
    """An outside address or domain that the school works with."""

    who: str = Field(description="An address, a domain, or *.domain.")
    purpose: str = Field(default="", description="What for: bulk-mail.")


class SampleDirectory(Model):
    """The people among whom a document's tests take place; the school's own never play a part in them."""

    people: list[SamplePerson] = Field(default=[], description="People of all kinds.")
    agreed_groups: list[SampleGroup] = Field(
        default=[], description="Groups whose members agreed to see one another's addresses."
    )
    approved: list[SampleApproval] = Field(default=[], description="Approved outside addresses and domains.")


class DocumentTest(Model):
    """A small message and the verdict that the policy must give."""

    name: str = Field(min_length=1, description="What the test shows.")
    message: SampleMessage = Field(description="The message.")
    directory: bool = Field(
        default=True, description="Whether the people of test_directory are known; false is a school without any."
    )
    expect: ActionByRecipient = Field(
        description="The action for everyone, or one for each recipient (* for all others)."
    )
    rules: list[RuleId] | None = Field(
        default=None, description="Exactly the rules that must fire; left out, any may."
    )


class PolicyDocument(Document):
    """One school's email policy as a document."""

    name: RuleId = Field(description="Short name; the same as the file's.")
    base: RuleId | None = Field(
        default=None,
        description="A shipped policy to build on: what this document leaves out is as there.",
    )
    title: str = Field(min_length=1, description="The policy's full title.")
    version: str = Field(min_length=1, description="Version or date of the document, in quotes.")
    roles: dict[RoleName, Role] = Field(default={}, description="Duties and their mailboxes.")
    limits: dict[FactName, Limit] = Field(
        default={}, description="Named numbers and texts; a condition reads limit.NAME."
    )
    lists: dict[FactName, list[str]] = Field(
        default={}, description="Named lists of texts; a condition reads lists.NAME."
    )
    phrase_lists: list[str] = Field(
        default=[],
        description="Phrase lists to search for: shipped ones by name, the school's own by path (.yaml), which "
        "may be relative to the document.",
    )
    exemptions: list[Exemption] = Field(default=[], description="Who is exempt from which rule, until when.")
    rules: list[Rule] = Field(min_length=1, description="The rules; their order decides between equals.")
    test_directory: SampleDirectory = Field(
        default=SampleDirectory(), description="A small directory of made-up people for the tests."
    )
    tests: list[DocumentTest] = Field(default=[], description="Messages and the verdicts that they must get.")

    @field_validator("limits", "lists")
    @classmethod
    def _no_cel_words(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in value:
            if name in _CEL_WORDS:
                raise ValueError(f"{name!r} is a word of the condition language; choose another name")
        return value


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy documents, for editors. With a base an entry may leave out what the base says."""
    schema = PolicyDocument.model_json_schema()
    kinds = schema["$defs"]
    rule, role, person = (kinds[each]["required"] for each in ("Rule", "Role", "SamplePerson"))
    whole = {
        "required": ["rules"],
        "properties": {
            "rules": {"items": {"required": rule}},
            "roles": {"additionalProperties": {"required": role}},
            "test_directory": {"properties": {"people": {"items": {"required": person}}}},
        },
    }
    kinds["Rule"]["required"], kinds["SamplePerson"]["required"] = ["id"], ["address"]
    del kinds["Role"]["required"]
    schema["required"] = [each for each in schema["required"] if each != "rules"]
    return {**schema, "if": {"not": {"required": ["base"]}}, "then": whole}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a document although its form is right, at a path into its data."""

    path: tuple[str | int, ...]
    message: str
    remedy: str = ""


def faults(document: PolicyDocument) -> Iterator[Fault]:
    """Everything that the schema alone cannot see, in document order."""
    yield from _role_faults(document)
    ids = [rule.id for rule in document.rules]
    for index, exemption in enumerate(document.exemptions):
        if exemption.rule not in ids:
            path = ("exemptions", index, "rule")
            yield Fault(path, f"there is no rule {exemption.rule!r}", f"rules: {', '.join(ids)}")
    for index, rule in enumerate(document.rules):
        if ids.index(rule.id) != index:
            yield Fault(("rules", index, "id"), f"two rules have the id {rule.id!r}", "give one another id")
        yield from _rule_faults(document, rule, ("rules", index))
    for index, test in enumerate(document.tests):
        for place, name in enumerate(test.rules or ()):
            if name not in ids:
                yield Fault(("tests", index, "rules", place), f"there is no rule {name!r}")
        yield from _expect_faults(document, test, ("tests", index))


def _role_faults(document: PolicyDocument) -> Iterator[Fault]:
    for name, role in document.roles.items():
        if name in TELL_WORDS:
            yield Fault(("roles", name), f"{name!r} cannot be a role: rules use the word for something else")
        if not role.mailboxes:
            yield Fault(("roles", name), f"role {name!r} has no mailbox", "give it at least one")
        for key, other in (("opens_case_for", role.opens_case_for), ("instead", role.instead)):
            if other is not None and other not in document.roles:
                known = f"roles: {', '.join(document.roles)}"
                yield Fault(("roles", name, key), f"there is no role {other!r}", known)
        if role.instead == name:
            yield Fault(
                ("roles", name, "instead"), f"role {name!r} cannot stand in for itself", "name another role"
            )


def _rule_faults(document: PolicyDocument, rule: Rule, path: tuple[str | int, ...]) -> Iterator[Fault]:
    actions = set(rule.action.values())
    if rule.action.get(Direction.INBOUND) is Action.CONFIRM:
        yield Fault(
            (*path, "action", "inbound"),
            "inbound mail cannot be confirmed: its sender is not known, so nobody could be asked",
            "use quarantine or tag for inbound",
        )
    roles = ", ".join(document.roles)
    if rule.queue and rule.queue not in document.roles:
        yield Fault((*path, "queue"), f"there is no role {rule.queue!r}", f"roles: {roles}")
    if not rule.queue and any(action.held or action is Action.REJECT for action in actions):
        remedy = ""
        if Action.REJECT in actions:
            remedy = "a refusal is held too when only some recipients are refused"
        elif Action.CONFIRM in actions:
            remedy = "a reviewer decides where the sender cannot be asked: a machine, a login without a mailbox"
        yield Fault(path, f"rule {rule.id!r} may hold mail, but names no queue", remedy)
    for index, whom in enumerate(rule.tell):
        if whom not in document.roles and whom not in TELL_WORDS:
            yield Fault(
                (*path, "tell", index), f"there is no role {whom!r}", f"roles: {roles}; also sender, recipients"
            )
    for key, text in (("reply", rule.reply), ("say", rule.say), ("mend", rule.mend)):
        yield from _text_faults(document, text, (*path, key), evidence=key != "reply")
    if Action.REJECT in actions and not rule.reply:
        yield Fault(path, f"rule {rule.id!r} refuses mail, but has no reply", "say in a sentence why, in ASCII")
    if not rule.reply.isascii():
        yield Fault((*path, "reply"), "the SMTP reply is not plain ASCII", "plain letters, straight quotes")
    if any(ord(letter) < 32 for letter in rule.reply.rstrip("\n")):
        yield Fault((*path, "reply"), "the SMTP reply must be one line")
    if len(rule.reply) > REPLY_OCTETS:
        yield Fault((*path, "reply"), f"the SMTP reply has {len(rule.reply)} octets; at most {REPLY_OCTETS} go")


def _text_faults(
    document: PolicyDocument, text: str, path: tuple[str | int, ...], *, evidence: bool
) -> Iterator[Fault]:
    allowed = [name for name in PLACEHOLDERS if evidence or name not in EVIDENCE_PLACEHOLDERS]
    for match in PLACEHOLDER.finditer(text):
        name = match.group(1)
        family, _, member = name.partition(".")
        if not evidence and name in EVIDENCE_PLACEHOLDERS:
            yield Fault(path, f"{{{name}}} must not stand in an SMTP reply", "it could show a file's name")
        elif family in ("role", "mailbox") and member:
            if member not in document.roles:
                yield Fault(path, f"{{{name}}}: there is no role {member!r}", ", ".join(document.roles))
        elif family == "limit" and member:
            if member not in document.limits:
                yield Fault(path, f"{{{name}}}: there is no limit {member!r}", ", ".join(document.limits))
        elif name not in allowed:
            listed = " ".join(f"{{{known}}}" for known in allowed)
            yield Fault(path, f"{{{name}}} is not a placeholder", f"placeholders: {listed}")
    rest = PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        yield Fault(path, "a brace without its partner", "braces are for placeholders only")


def _expect_faults(document: PolicyDocument, test: DocumentTest, path: tuple[str | int, ...]) -> Iterator[Fault]:
    for address in test.expect:
        if address != "*" and address not in test.message.envelope:
            yield Fault((*path, "expect"), f"{address!r} is not a recipient of the test message")
    for field in ("recipients", "from_", "reply_to", "to", "cc"):
        for index, address in enumerate(getattr(test.message, field)):
            for name in PLACEHOLDER.findall(address):
                known = name == "domain" or name.removeprefix("mailbox.") in document.roles
                if not known:
                    key = field.removesuffix("_")
                    yield Fault((*path, "message", key, index), f"{{{name}}} is not known here")
