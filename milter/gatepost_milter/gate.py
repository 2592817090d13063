"""Owns the way of one message through the gate: inspect, judge, hold, reply, in this order.

It knows nothing of the milter protocol and nothing of SQL. It is the only place where a Verdict becomes a
HeldMessage and Notices. Nothing is answered before the store has committed; a message of which nothing is held
and nothing is owed never touches the store.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock
from time import perf_counter
from typing import Any, Protocol

from gatepost_config.words import Action, Direction, Explanation, Finding, Mode, Outcome
from gatepost_milter import disclosure, replies
from gatepost_milter.inspection.inspectors import InspectorsBusyError
from gatepost_milter.inspection.model import Attachment, Inspection
from gatepost_milter.metrics import Counter, Histogram
from gatepost_milter.policy.verdict import Sender, Verdict
from gatepost_milter.replies import Answer
from gatepost_milter.reports import reported
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Path, Transaction
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.cases import Case
from gatepost_quarantine.held import (
    Chunks,
    Envelope,
    HeldMessage,
    HeldRecipient,
    HoldOutcome,
    Notice,
    NoticeKind,
)
from gatepost_quarantine.store import StoreError

ACTOR = "gatepost-milter"
LARGE = 16 * 1024 * 1024  # bytes; decoding takes about twice the size of a message in memory
HASHING = 10.0  # seconds that hashing what is held may take
_TELL_WORDS = frozenset({"sender", "recipients"})


class Step(StrEnum):
    """The steps that every message takes, in order (``collect`` belongs to the session)."""

    COLLECT = "collect"
    INSPECT = "inspect"
    JUDGE = "judge"
    HOLD = "hold"
    REPLY = "reply"


MESSAGES = Counter(
    "gatepost_messages",
    "Messages that were judged, by direction and strictest action of all their recipients.",
    ["direction", "action"],
)
FINDINGS = Counter("gatepost_findings", "Rules that fired, by rule and its mode.", ["rule", "mode"])
STAGE_SECONDS = Histogram(
    "gatepost_stage_seconds",
    "Seconds that a message spent in each step; total is from its last byte to the answer.",
    ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
JOINS = Counter("gatepost_joins", "Messages that were sent again and joined an earlier hold.")

INSPECT_SECONDS, JUDGE_SECONDS, HOLD_SECONDS, TOTAL_SECONDS = (
    STAGE_SECONDS.labels(stage=each) for each in (Step.INSPECT.value, Step.JUDGE.value, Step.HOLD.value, "total")
)
_MESSAGES = {
    (direction, action): MESSAGES.labels(direction=direction.value, action=action.value)
    for direction in Direction
    for action in Action
}


def expect_findings(rules: Iterable[tuple[str, Mode]]) -> None:
    """Start the counts of these rules at 0, so that the first finding is an increase and not a new series."""
    for rule, mode in rules:
        FINDINGS.labels(rule=rule, mode=mode.value)


class Inspect(Protocol):
    """The inspection room, as the gate needs it; ``deadline`` is in seconds from now.

    With ``hashes`` attachments carry their SHA-256.
    """

    def __call__(self, content: Spool, *, deadline: float, hashes: bool = False) -> Inspection: ...


class Judge(Protocol):
    """The policy room, as the gate needs it."""

    def judge(self, transaction: Transaction, inspection: Inspection) -> Verdict:
        """One action for each recipient, and why."""
        ...

    def mailboxes(self, role: str) -> tuple[str, ...]:
        """The mailboxes that a role's notices go to."""
        ...

    @property
    def report_addresses(self) -> Mapping[str, str]:
        """The role that a mail to each report address opens a case for, by the address in lower case."""
        ...


class Keeper(Protocol):
    """The store, as the gate needs it. Both methods raise StoreError when they cannot commit."""

    def hold(
        self,
        held: HeldMessage,
        *,
        content: Chunks,
        notices: Sequence[Notice] = (),
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> HoldOutcome:
        """Keep the message and what is owed for it in one commit, or join an earlier hold."""
        ...

    def owe(
        self,
        notices: Sequence[Notice],
        *,
        key: str,
        key_has_message_id: bool,
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> bool:
        """Owe notices and open cases without holding anything; False if the same key was owed lately."""
        ...


class Own(Protocol):
    """Mail that comes back to gatepost itself. All raise StoreError; None is for all other mail."""

    def released(self, transaction: Transaction) -> Answer | None:
        """The answer to a release of our own, which is not judged again."""
        ...

    def noticed(self, transaction: Transaction) -> bool:
        """Whether it is a notice of our own: a machine sent it, whatever its header says."""
        ...

    def replied(self, transaction: Transaction, inspection: Inspection, sender: Sender) -> Answer | None:
        """The answer to a sender's reply, once what it says is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds that inspection may take: ``login`` for a logged-in sender, who waits, else ``other``."""

    login: float = 20.0
    other: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The idempotency key of a message; ``has_message_id`` if it stands on the client's own Message-ID."""

    key: str
    has_message_id: bool


Note = Callable[[Transaction, Inspection, Verdict], None]
"""Is told each message once what must be kept is kept; waits for nothing."""


def _unnoted(_transaction: Transaction, _inspection: Inspection, _verdict: Verdict) -> None:
    """Nobody remembers messages."""


def _unwatched(_step: Step) -> None:
    """Nobody follows the steps."""


class Gate:
    """One message after another through inspect, judge, hold and reply. Safe to call from several threads."""

    def __init__(
        self,
        *,
        inspect: Inspect,
        policy: Judge,
        store: Keeper,
        gateway: str,
        deadlines: Deadlines | None = None,
        note: Note = _unnoted,
        own: Own | None = None,
    ) -> None:
        self._inspect = inspect
        self._note = note
        self._own = own
        self._policy = policy
        self._store = store
        self._gateway = gateway
        self._deadlines = deadlines or Deadlines()
        self._large = Lock()

    def process(self, transaction: Transaction, *, enter: Callable[[Step], None] = _unwatched) -> Answer:
        """The answer to one message. Any exception that leaves here is a defect, and a temp-fail at the edge.

        ``enter`` is told each step before it is taken, so that the edge can say where a defect struck.
        """
        started = perf_counter()
        enter(Step.INSPECT)
        own = self._own
        if own is not None and (answer := _returned(transaction, lambda: own.released(transaction))) is not None:
            return answer
        deadline = self._deadlines.login if transaction.client.login else self._deadlines.other
        try:
            with self._turn(transaction.content.size, deadline):
                inspection = self._inspect(transaction.content, deadline=deadline)
            if own is not None and own.noticed(transaction):
                inspection = replace(inspection, automatic=True)
        except InspectorsBusyError as error:
            return replies.tempfail(transaction.support_id, detail=f"inspectors: {error}")
        except StoreError as error:
            return _unkept(transaction, error)
        inspected = perf_counter()
        INSPECT_SECONDS.observe(inspected - started)
        enter(Step.JUDGE)
        verdict = self._policy.judge(transaction, inspection)
        judged = perf_counter()
        JUDGE_SECONDS.observe(judged - inspected)
        enter(Step.HOLD)
        if own is not None:
            answer = _returned(transaction, lambda: own.replied(transaction, inspection, verdict.sender))
            if answer is not None:
                return answer
        try:
            kept = self._hold(transaction, inspection, verdict)
        except StoreError as error:
            return _unkept(transaction, error)
        facts = {
            **kept,
            "inspect_ms": _milliseconds(inspected - started),
            "judge_ms": _milliseconds(judged - inspected),
        }
        if kept:
            held = perf_counter() - judged
            HOLD_SECONDS.observe(held)
            facts["hold_ms"] = _milliseconds(held)
        self._note(transaction, inspection, verdict)
        _MESSAGES[verdict.direction, verdict.action].inc()
        for finding in verdict.findings:
            FINDINGS.labels(rule=finding.rule, mode=finding.mode.value).inc()
        if inspection.message_id:
            facts["message_id"] = inspection.message_id
        enter(Step.REPLY)
        return replies.answer(transaction, verdict, **facts)

    @contextmanager
    def _turn(self, size: int, patience: float) -> Iterator[None]:
        """Large messages are inspected one after the other, so that a few of them cannot take all memory."""
        if size <= LARGE:
            yield
            return
        if not self._large.acquire(timeout=patience):
            raise InspectorsBusyError("other large messages took too long")
        try:
            yield
        finally:
            self._large.release()

    def _hold(self, transaction: Transaction, inspection: Inspection, verdict: Verdict) -> dict[str, Any]:
        """Keep what must be kept, in one commit; what is to be logged about it. Raises StoreError."""
        held_id = secrets.token_hex(16) if verdict.held else ""
        report = reported(
            transaction,
            inspection,
            verdict,
            roles=self._policy.report_addresses,
            mailboxes=self._policy.mailboxes,
            held_id=held_id,
            gateway=self._gateway,
        )
        if verdict.action is Action.PASS and not report.cases and not verdict.explanation.acting():
            return {}  # most mail
        notices = (*self._notices(transaction, inspection, verdict, held_id), *report.notices)
        if not verdict.held and not notices and not report.cases:
            return {}
        identity = identify(transaction)
        opened = {"cases": [each.id for each in report.cases]} if report.cases else {}
        if not verdict.held:
            owed = self._store.owe(
                notices, key=identity.key, key_has_message_id=identity.has_message_id, cases=report.cases
            )
            return {"notices": len(notices), **opened} if owed else {"notices": 0}
        held = self._held(transaction, inspection, verdict, held_id, identity)
        event = Event(
            verb=Verb.HOLD,
            actor=ACTOR,
            held_id=held_id,
            details={"action": verdict.action.value, "support_id": verdict.explanation.support_id},
        )
        outcome = self._store.hold(
            held, content=transaction.content.chunks, notices=notices, events=(event,), cases=report.cases
        )
        if outcome.joined:
            JOINS.inc()
            return {"held_id": outcome.held_id, "joined": True, "notices": 0}
        return {"held_id": outcome.held_id, "joined": False, "notices": len(notices), **opened}

    def _held(
        self,
        transaction: Transaction,
        inspection: Inspection,
        verdict: Verdict,
        held_id: str,
        identity: Identity,
    ) -> HeldMessage:
        pairs = zip(transaction.recipients, verdict.outcomes, strict=True)
        # A client may name a recipient twice; the message is kept for them once.
        recipients = {path.address: _recipient(path, each) for path, each in pairs if each.action.held}
        return HeldMessage(
            id=held_id,
            key=identity.key,
            key_has_message_id=identity.has_message_id,
            gateway=self._gateway,
            queue_id=transaction.queue_id,
            envelope=_envelope(transaction),
            sender=verdict.sender.mailbox if verdict.sender.known else "",
            recipients=tuple(recipients.values()),
            explanation=verdict.explanation,
            size=transaction.content.size,
            subject=inspection.subject,
            from_header=", ".join(_shown(each.display, each.address) for each in inspection.from_),
            message_id=inspection.message_id,
            queue=next((each.queue for each in verdict.explanation.acting() if each.queue), ""),
            attachments=tuple(_listed(each) for each in self._hashed(transaction.content, inspection)),
            received_at=transaction.received_at,
        )

    def _hashed(self, content: Spool, inspection: Inspection) -> Iterable[Attachment]:
        """The attachments with their SHA-256, for reviewers to search by.

        Most mail is never held and need not be hashed, so what is held is read once more. Where that fails, or
        finds anything else than what was judged, the message is held all the same, without hashes.
        """
        found = inspection.attachments
        if all(each.sha256 for each in found):
            return found
        try:
            with self._turn(content.size, HASHING):
                again = self._inspect(content, deadline=HASHING, hashes=True)
        except InspectorsBusyError:
            return found
        same = {replace(each, sha256="") for each in again.attachments} == {
            replace(each, sha256="") for each in found
        }
        return again.attachments if same else found

    def _notices(
        self, transaction: Transaction, inspection: Inspection, verdict: Verdict, held_id: str
    ) -> Iterator[Notice]:
        """One notice for each addressee and kind, however many findings ask for it."""
        addressees: dict[tuple[NoticeKind, str], Explanation] = {}
        visible = frozenset(each.address.casefold() for each in inspection.recipients)
        told = disclosure.for_sender(verdict, visible=visible)
        for kind in self._sender_kinds(transaction, inspection, verdict):
            addressees[kind, verdict.sender.mailbox] = told
        for kind, outcome in _recipient_kinds(verdict):
            addressees[kind, outcome.recipient] = disclosure.for_recipient(verdict, outcome)
        roles = self._role_mailboxes(verdict)
        for mailbox in roles:
            addressees[NoticeKind.ROLE, mailbox] = told
        sealed = verdict.action is Action.SEAL
        for (kind, to), explanation in addressees.items():
            yield Notice(
                kind=kind,
                to=to,
                message_id=f"<{secrets.token_hex(16)}@{self._gateway}>",
                context={
                    "explanation": explanation.to_json(),
                    "subject": "" if sealed else inspection.subject,
                    "date": transaction.header(b"Date").decode("ascii", "replace"),
                    "sender": verdict.sender.mailbox or transaction.sender.address,
                    "recipients": list(dict.fromkeys(each.address for each in inspection.recipients)),
                    "message_id": inspection.message_id,
                    "held_id": held_id,
                    "support_id": explanation.support_id,
                    **({"role": roles[to]} if kind is NoticeKind.ROLE else {}),
                },
                held_id=held_id,
            )

    @staticmethod
    def _sender_kinds(transaction: Transaction, inspection: Inspection, verdict: Verdict) -> Iterator[NoticeKind]:
        """The notice that the sender gets, if any: only a known one, and never in answer to a machine."""
        automatic = inspection.automatic or not transaction.sender.address  # RFC 3834 section 2
        if not verdict.sender.known or not verdict.sender.mailbox or automatic:
            return
        if verdict.action is Action.SEAL:
            sealing = [each for each in verdict.findings if each.action is Action.SEAL]
            if sealing and all("sender" in each.tell for each in sealing):
                yield NoticeKind.HELD_SENDER
        elif verdict.held:
            yield NoticeKind.HELD_SENDER
        elif verdict.action is Action.WARN:
            yield NoticeKind.WARNING

    def _role_mailboxes(self, verdict: Verdict) -> Mapping[str, str]:
        """The mailboxes of the roles that are told, each with the first role that it is told as."""
        roles = dict.fromkeys(
            word for finding in verdict.explanation.acting() for word in finding.tell if word not in _TELL_WORDS
        )
        found: dict[str, str] = {}
        for role in roles:
            for mailbox in self._policy.mailboxes(role):
                found.setdefault(mailbox, role)
        return found


def _returned(transaction: Transaction, ask: Callable[[], Answer | None]) -> Answer | None:
    """What is answered to mail that comes back, if it is such; a temp-fail while the store cannot tell."""
    try:
        return ask()
    except StoreError as error:
        return _unkept(transaction, error)


def _unkept(transaction: Transaction, error: StoreError) -> Answer:
    return replies.tempfail(
        transaction.support_id,
        reason="The message cannot be kept now. Please try again later.",
        detail=f"store: {error}",
    )


def identify(transaction: Transaction) -> Identity:
    """What makes a retry the same message: login, envelope, header fields and body.

    Postfix adds a Message-Id made of the queue id, and a Date, to local submissions that lack them; a retry
    gets others, so such a Message-Id is left out, and Date with it. ESMTP parameters do not count.
    """
    message_ids = [value for name, value in transaction.headers if name.strip().lower() == b"message-id"]
    queue_id = transaction.queue_id.encode()
    added = bool(queue_id) and any(queue_id in value for value in message_ids)
    left_out = {b"message-id", b"date"} if added else set()
    digest = hashlib.sha256()
    envelope = [transaction.client.login, transaction.sender.address]
    envelope += sorted({path.address for path in transaction.recipients})
    _add(digest, *(each.encode("utf-8", "surrogateescape") for each in envelope))
    for name, value in transaction.headers:
        if name.strip().lower() not in left_out:
            _add(digest, name, value)
    _add(digest, b"", b"")
    for chunk in transaction.body():
        digest.update(chunk)
    return Identity(key=digest.hexdigest(), has_message_id=bool(message_ids) and not added)


def _recipient_kinds(verdict: Verdict) -> Iterator[tuple[NoticeKind, Outcome]]:
    """Who of the school's own recipients is told: of a warning inbound, of a hold where a rule tells them."""
    for outcome in verdict.outcomes:
        if outcome.direction is Direction.OUTBOUND:
            continue
        if outcome.action is Action.WARN and outcome.direction is Direction.INBOUND:
            yield NoticeKind.WARNING_RECIPIENT, outcome
        elif outcome.action.held and any(
            "recipients" in finding.tell and _keeps_back(finding, outcome.recipient)
            for finding in verdict.findings
        ):
            yield NoticeKind.HELD_RECIPIENT, outcome


def _keeps_back(finding: Finding, recipient: str) -> bool:
    """Whether the finding alone would have kept the message from this recipient (a reject would have)."""
    action = finding.actions.get(recipient, Action.PASS)
    return action.held or action is Action.REJECT


def _envelope(transaction: Transaction) -> Envelope:
    client = transaction.client
    return Envelope(
        sender=transaction.sender.address,
        sender_parameters=transaction.sender.parameters,
        client_name=client.name,
        client_address=client.address,
        client_port=client.port,
        helo=client.helo,
        protocol=client.protocol,
        login=client.login,
        tls_version=client.tls_version,
    )


def _recipient(path: Path, outcome: Outcome) -> HeldRecipient:
    if path.address != outcome.recipient:
        raise ValueError("the verdict's outcomes are not in envelope order")
    return HeldRecipient(
        address=path.address,
        direction=outcome.direction,
        action=outcome.action,
        parameters=path.parameters,
    )


def _listed(attachment: Attachment) -> dict[str, Any]:
    """An attachment as console and ``gatepost check`` list it."""
    return {
        "path": attachment.path,
        "name": attachment.name,
        "claimed": attachment.claimed,
        "detected": attachment.detected,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "classes": sorted(each.value for each in attachment.classes),
    }


def _shown(display: str, address: str) -> str:
    return f"{display} <{address}>" if display else address


def _add(digest: hashlib._Hash, *pieces: bytes) -> None:
    """Feed pieces with their lengths, so that no two different lists of pieces look alike."""
    for piece in pieces:
        digest.update(len(piece).to_bytes(8))
        digest.update(piece)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
