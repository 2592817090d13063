"""Owns the tests that a policy document carries: small messages, and the verdict that each must get.

A test states what inspection would find instead of holding a message, so that all tests of a policy run in a few
milliseconds, each time the policy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from typing import Protocol

from gatepost_config.addresses import normalise
from gatepost_config.directory import ALWAYS, Approval, Directory, Group, Kind, Person, Span
from gatepost_config.errors import Problem
from gatepost_config.policy_document import (
    PLACEHOLDER,
    DocumentTest,
    PolicyDocument,
    SampleAttachment,
    SampleMessage,
    SamplePerson,
)
from gatepost_config.settings import Settings
from gatepost_config.words import Action
from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Inspection, Text, VisibleRecipient
from gatepost_milter.inspection.text import shown
from gatepost_milter.policy.past import Acquaintance, Alike
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Path, Transaction
from gatepost_quarantine.rulings import Ruling, RulingKind


class Judge(Protocol):
    """A policy among some people, as the tests need it."""

    def judge(self, transaction: Transaction, inspection: Inspection) -> Verdict:
        """One action for each recipient, and why."""
        ...

    def remembering(self, memory: Memory) -> Judge:
        """The same judge with what stands between messages."""
        ...


# A fixed day long before any exemption ends, so that a test gives the same answer every day.
_DAY = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one test went. ``message`` says what differs, empty when it passed. ``index`` is its place."""

    index: int
    name: str
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether the verdict was the one expected."""
        return not self.message


def run(
    document: PolicyDocument,
    settings: Settings,
    among: Callable[[Directory | None], Judge],
    mailboxes: Mapping[str, tuple[str, ...]],
) -> tuple[Result, ...]:
    """The result of every test in the document, in its order.

    ``among`` gives the policy among other people: a document is tested among those that it brings itself, so that
    its tests do not depend on who is at the school. ``mailboxes`` are those of the policy's roles.
    """
    fill = _filler(settings, mailboxes)
    judges = {True: among(_directory(document, fill)), False: among(None)}
    return tuple(
        Result(index=index, name=test.name, message=_differs(test, fill, judges[test.directory]))
        for index, test in enumerate(document.tests)
    )


def problem(document: PolicyDocument, result: Result) -> Problem:
    """A failed test as a problem of the document, at the test's place."""
    message = f"the policy's own test {result.name!r} fails: {result.message}"
    return document.source.problem(("tests", result.index), message, "mend the rule, or the test")


def _filler(settings: Settings, mailboxes: Mapping[str, tuple[str, ...]]) -> Callable[[str], str]:
    words = {f"mailbox.{role}": addresses[0] for role, addresses in mailboxes.items()}
    words["domain"] = settings.school.domains[0]
    return lambda text: PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), text)


def _directory(document: PolicyDocument, fill: Callable[[str], str]) -> Directory:
    sample = document.test_directory
    people = [
        Person(
            address=fill(each.address),
            name=each.name,
            roles=tuple((Kind(kind), _span(each)) for kind in each.kinds),
            logins=tuple(fill(login).lower() for login in each.login),
            personal=tuple(fill(address) for address in each.personal_addresses),
            groups=frozenset(each.groups),
            pupils=frozenset(each.pupil),
            section=each.section,
            supervisors=tuple(fill(address) for address in each.supervisors),
            ties=frozenset(f"pupil {pupil}" for pupil in each.pupil),
        )
        for each in sample.people
    ]
    groups = [
        Group(name=each.name, members=frozenset(normalise(fill(one)) for one in each.members), agreed=True)
        for each in sample.agreed_groups
    ]
    approvals = [Approval(who=fill(each.who).lower(), purpose=each.purpose) for each in sample.approved]
    return Directory.of(people=people, groups=groups, approvals=approvals)


def _differs(test: DocumentTest, fill: Callable[[str], str], judge: Judge) -> str:
    """What is not as the test expects; empty when all is."""
    try:
        inspection = _inspection(test, fill)
    except ValueError as error:
        return str(error)
    verdict = judge.remembering(_memory(test, fill)).judge(_transaction(test, fill), inspection)
    expected = {fill(address): action for address, action in test.expect.items()}
    for outcome in verdict.outcomes:
        wanted = expected.get(outcome.recipient, expected.get("*", Action.PASS))
        if outcome.action is not wanted:
            fired = ", ".join(finding.rule for finding in verdict.findings) or "no rule"
            return f"{outcome.recipient} should get {wanted}, gets {outcome.action} ({fired} fired)"
    rules = {finding.rule for finding in verdict.findings}
    if test.rules is not None and rules != set(test.rules):
        should, did = ", ".join(sorted(test.rules)) or "no rule", ", ".join(sorted(rules)) or "no rule"
        return f"{should} should fire, but {did} did"
    return ""


def _span(person: SamplePerson) -> Span:
    return ALWAYS if person.left is None else Span(ends=_DAY.date() - timedelta(days=person.left))


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePast:
    """A past in which everything is as a test says. See Past for what the methods promise."""

    known: bool = True
    sent_today: int = 0
    private_today: int = 0
    alike_today: int = 0

    def acquaintance(self, ours: str, theirs: str, *, day: int) -> Acquaintance:
        """The same for everybody."""
        return Acquaintance(wrote=self.known, known=self.known)

    def sent(self, mailbox: str, *, day: int) -> int:
        """The same for everybody."""
        return self.sent_today

    def private(self, mailbox: str, *, day: int) -> int:
        """The same for everybody."""
        return self.private_today

    def alike(self, mailbox: str, content: Iterable[str], recipients: Iterable[str], *, day: int) -> Alike:
        """Those that the test says, and this message's."""
        return Alike(earlier=self.alike_today, recipients=self.alike_today + len(set(recipients)))


def _memory(test: DocumentTest, fill: Callable[[str], str]) -> Memory:
    message = test.message
    past = SamplePast(
        known=not message.first_contact,
        sent_today=message.sent_today,
        private_today=message.private_today,
        alike_today=message.alike_today,
    )
    block = Ruling(
        kind=RulingKind.BLOCK,
        recipient=fill(message.envelope[0]),
        reason=message.blocked or "no reason",
        actor="the test",
        expires_at=_DAY + timedelta(days=1),
    )
    return Memory(standing=Standing.of([block] if message.blocked else [], UTC), past=past)


def _transaction(test: DocumentTest, fill: Callable[[str], str]) -> Transaction:
    message = test.message
    sender, recipients = fill(message.sender), [fill(each) for each in message.envelope]
    return Transaction(
        key="policy-test",
        client=Client(address="192.0.2.1", name="client.example", login=fill(message.login)),
        sender=Path(address=sender, wire=f"<{sender}>"),
        recipients=tuple(Path(address=each, wire=f"<{each}>") for each in recipients),
        content=Spool.of(b""),
        received_at=_DAY,
    )


def _inspection(test: DocumentTest, fill: Callable[[str], str]) -> Inspection:
    message = test.message
    return Inspection(
        size=message.size,
        subject=message.subject,
        from_=tuple(_named("From", fill(each)) for each in message.from_),
        reply_to=tuple(_named("Reply-To", fill(each)) for each in message.reply_to),
        recipients=tuple(_named(field, fill(each)) for field, each in message.visible),
        automatic=message.automatic,
        attachments=tuple(_attachment(number, each) for number, each in enumerate(message.attachments, 2)),
        texts=tuple(_texts(message, fill)),
        malware=tuple(message.malware),
        defects=tuple(Defect(code=code) for code in message.defects),
    )


def _texts(message: SampleMessage, fill: Callable[[str], str]) -> Iterator[Text]:
    if message.text:
        yield Text(where="part 1", text=fill(message.text))
    if message.html:
        written = fill(message.html)
        yield Text(where="part 1.2", text=shown(written), html=True, source=lambda: written)
    for number, each in enumerate(message.attachments, 2):
        if each.text:
            yield Text(where=f"part {number} › {each.name}", text=fill(each.text), of_file=True)


def _named(field: str, text: str) -> VisibleRecipient:
    display, address = parseaddr(text)
    return VisibleRecipient(field=field, address=address, display=display)


def _attachment(number: int, sample: SampleAttachment) -> Attachment:
    name = sample.name.rpartition("›")[2].strip()
    return Attachment(
        path=f"part {number} › {sample.name}",
        part=str(number),
        name=name,
        names=(name,),
        claimed="application/octet-stream",
        detected=sample.detected,
        size=sample.size,
        classes=frozenset(FileClass(each) for each in sample.classes),
        depth=sample.name.count("›"),
        tier=sample.tier,
        reason="as the test says",
    )
