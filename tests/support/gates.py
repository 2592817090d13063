"""Owns the parts of a gate for tests: messages, verdicts and a store that keeps what it was given in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gatepost_config.words import (
    Action,
    Direction,
    Evidence,
    Explanation,
    Finding,
    Mode,
    Outcome,
    PolicyRef,
    Reply,
)
from gatepost_milter.inspection.model import Inspection, VisibleRecipient
from gatepost_milter.policy.verdict import Sender, Verdict
from gatepost_milter.replies import Answer
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Path, Transaction, header_block
from gatepost_quarantine.audit import Event
from gatepost_quarantine.cases import Case
from gatepost_quarantine.held import Chunks, HeldMessage, HoldOutcome, Notice
from gatepost_quarantine.store import StoreError

TEACHER = "teacher@school.example"
PARENT = "parent@home.example"
HEADERS = (
    (b"From", b" Teacher <teacher@school.example>"),
    (b"To", b" Parent\n <parent@home.example>"),
    (b"Date", b" Mon, 5 Jan 2026 09:00:00 +0000"),
    (b"Message-ID", b" <m1@client.example>"),
)
POLICY = PolicyRef(name="test", version="1", digest="0" * 64)


def path(address: str, *parameters: str) -> Path:
    """An envelope address as Postfix sends it."""
    return Path(address=address, wire=f"<{address}>", parameters=parameters)


def transaction(
    *recipients: str,
    sender: str = TEACHER,
    login: str = TEACHER,
    headers: Sequence[tuple[bytes, bytes]] = HEADERS,
    body: bytes = b"Hello\r\n",
    queue_id: str = "4QUEUEID",
) -> Transaction:
    """A message to ``recipients`` (a parent if none is given), held in memory."""
    return Transaction(
        key="c0ffee.1",
        client=Client(name="pc.school.example", address="192.0.2.7", port=50000, helo="pc", login=login),
        sender=path(sender),
        recipients=tuple(path(each) for each in recipients or (PARENT,)),
        content=Spool.of(header_block(headers) + body),
        headers=tuple(headers),
        queue_id=queue_id,
    )


def inspection(*visible: str, automatic: bool = False, subject: str = "Trip") -> Inspection:
    """What a harmless message would be found to be."""
    return Inspection(
        size=100,
        subject=subject,
        message_id="<m1@client.example>",
        from_=(VisibleRecipient(field="From", address=TEACHER, display="Teacher"),),
        recipients=tuple(VisibleRecipient(field="To", address=each) for each in visible),
        automatic=automatic,
    )


def finding(rule: str, actions: Mapping[str, Action], *, tell: Sequence[str] = (), reply: str = "") -> Finding:
    """A rule that fired with these actions, on a private and on a plain piece of evidence."""
    return Finding(
        rule=rule,
        clause="KCS 2.6",
        mode=Mode.ENFORCE,
        wanted=Action.strictest(*actions.values()),
        actions=actions,
        evidence=(
            Evidence(kind="file", name="setup.exe", where="part 2"),
            Evidence(kind="secret", name="hunter2", where="part 1", private=True),
        ),
        say="setup.exe is a program.",
        queue="it-support",
        tell=tuple(tell),
        reply=Reply(text=reply),
    )


def verdict(
    outcomes: Mapping[str, tuple[Direction, Action]],
    *findings: Finding,
    sender: str = TEACHER,
    support_id: str = "SUPPORT1",
) -> Verdict:
    """A verdict with these outcomes; without a ``sender`` nobody is known."""
    return Verdict(
        sender=Sender(mailbox=sender, known=bool(sender), via="login" if sender else ""),
        explanation=Explanation(
            support_id=support_id,
            policy=POLICY,
            outcomes=tuple(
                Outcome(recipient=address, direction=direction, action=action)
                for address, (direction, action) in outcomes.items()
            ),
            findings=findings,
        ),
    )


@dataclass(slots=True)
class Judge:
    """Gives the verdict that it was made with, and knows two roles."""

    given: Verdict
    roles: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"it-support": ("it@school.example",), "dsl": ("dsl@school.example",)}
    )

    report_addresses: Mapping[str, str] = field(default_factory=dict)

    def judge(self, transaction: Transaction, inspection: Inspection) -> Verdict:
        return self.given

    def mailboxes(self, role: str) -> tuple[str, ...]:
        return self.roles[role]


@dataclass(slots=True)
class Keeper:
    """A store in memory that joins on the key, or that cannot commit if it is ``broken``."""

    broken: bool = False
    held: list[HeldMessage] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)
    lasting: list[bool] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    def hold(
        self,
        held: HeldMessage,
        *,
        content: Chunks,
        notices: Sequence[Notice] = (),
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> HoldOutcome:
        self._commit()
        for earlier in self.held:
            if earlier.key == held.key:
                return HoldOutcome(held_id=earlier.id, joined=True)
        self.held.append(held)
        self.contents.append(b"".join(content()))
        self.notices += notices
        self.events += events
        self.cases += cases
        return HoldOutcome(held_id=held.id, joined=False)

    def owe(
        self,
        notices: Sequence[Notice],
        *,
        key: str,
        key_has_message_id: bool,
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> bool:
        self._commit()
        if key in self.owed:
            return False
        self.owed.append(key)
        self.lasting.append(key_has_message_id)
        self.notices += notices
        self.events += events
        self.cases += cases
        return True

    def _commit(self) -> None:
        if self.broken:
            raise StoreError("disk full")


@dataclass(slots=True)
class OwnMail:
    """Mail that comes back to gatepost, as a test says; ``asked`` is what the gate wanted to know."""

    releases: Answer | None = None
    answers: Answer | None = None
    notices: bool = False
    broken: bool = False
    asked: list[str] = field(default_factory=list)

    def released(self, transaction: Transaction) -> Answer | None:
        self.asked.append("released")
        if self.broken:
            raise StoreError("away")
        return self.releases

    def noticed(self, transaction: Transaction) -> bool:
        return self.notices

    def replied(self, transaction: Transaction, inspection: Inspection, sender: Sender) -> Answer | None:
        self.asked.append("replied")
        return self.answers
