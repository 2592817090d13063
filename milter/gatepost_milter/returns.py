"""Owns the mail that comes back to gatepost itself: its releases at the front door, its notices, replies to them.

A release is known by a token that is signed for its bytes and recipients, and is spent once. A reply counts only
from the very sender who was asked, by login or trusted relay, and never from a machine. Whatever is not exactly
that is judged like any other mail, or explained to a known sender once; nobody else is ever written to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

import structlog

from gatepost_config.settings import Settings
from gatepost_milter import replies
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.replies import Answer, Disposition, Event, StaleHeader
from gatepost_milter.transaction import Transaction, header_block
from gatepost_quarantine import notices
from gatepost_quarantine.audit import Event as AuditEvent
from gatepost_quarantine.choices import REASON_LIMIT
from gatepost_quarantine.held import Choice, HeldMessage, Notice, SenderAnswer
from gatepost_quarantine.offers import ends
from gatepost_quarantine.store import ConflictError, NotFoundError
from gatepost_quarantine.tokens import (
    NOTICE_HEADER,
    NOTICE_KEY,
    RELEASE_HEADER,
    RELEASE_KEY,
    REPLY_KEY,
    NoticeMarks,
    ReleaseTokens,
    ReplyAddresses,
    TokenError,
    body_digest,
    content_digest,
    is_reply_address,
)

_WORDS = {"send": Choice.SEND, "withdraw": Choice.WITHDRAW}
_ADDED = 3
"""Fields that Postfix may add: Message-Id, Date, From (local_header_rewrite_clients)."""

_QUOTE = re.compile(r"\s*(>|--\s*$|-{4,}|_{4,}|(From|Sent|To|Subject):|On .{1,200} wrote:)")
_ONLY_REPLIES = "This address only takes a sender's own answer about a held message, sent while signed in."
_AGAIN = "Nothing was done, for the reason in our mail. SEND or WITHDRAW must be all of the first line."

_log = structlog.get_logger("gatepost.returns")


class Desk(Protocol):
    """The store, as this needs it. Every method raises StoreError when it cannot."""

    def get(self, held_id: str) -> HeldMessage: ...

    def key(self, name: str) -> bytes: ...

    def spend(self, token: str, *, until: datetime) -> bool: ...

    def answer(self, answer: SenderAnswer, *, notices: Sequence[Notice] = ()) -> SenderAnswer: ...

    def owe(
        self, notices: Sequence[Notice], *, key: str, key_has_message_id: bool, events: Sequence[AuditEvent] = ()
    ) -> bool: ...


@dataclass(frozen=True)
class Returns:
    """What comes back. Safe to call from several threads; the store's keys are fetched when first needed."""

    settings: Settings
    desk: Desk

    @cached_property
    def _tokens(self) -> ReleaseTokens:
        return ReleaseTokens(self.desk.key(RELEASE_KEY))

    @cached_property
    def _addresses(self) -> ReplyAddresses:
        mailbox = self.settings.sender_pages.reply_address
        return ReplyAddresses(self.desk.key(REPLY_KEY), mailbox=mailbox)

    @cached_property
    def _marks(self) -> NoticeMarks:
        return NoticeMarks(self.desk.key(NOTICE_KEY))

    def noticed(self, transaction: Transaction) -> bool:
        """Whether this is a notice of ours that a machine has sent back or on. Raises StoreError."""
        name = NOTICE_HEADER.lower().encode()
        return any(self._marks.is_ours(value) for field, value in transaction.headers if field.lower() == name)

    def released(self, transaction: Transaction) -> Answer | None:
        """The answer to a release of our own, which passes unjudged; None for all other mail. Raises StoreError.

        A token that is forged, of other bytes or recipients, too old, or spent is worth nothing: it is logged,
        and the message is judged.
        """
        if self.settings.courier.way != "front-door":
            return None
        name = RELEASE_HEADER.lower().encode()
        place = next((place for place, each in enumerate(transaction.headers) if each[0].lower() == name), None)
        if place is None:
            return None
        rest = [each for number, each in enumerate(transaction.headers) if number != place]
        body = body_digest(transaction.body())
        # Postfix completes the header of a local client's mail: what it adds comes after all that was sent.
        digests = {content_digest(header_block(rest[: len(rest) - added]), body) for added in range(_ADDED + 1)}
        recipients = [path.address for path in transaction.recipients]
        try:
            token = transaction.headers[place][1].strip().decode("ascii", "replace")
            read = self._tokens.read(token, digests, recipients, now=datetime.now(UTC))
            if not self.desk.spend(read.nonce, until=read.until):
                raise TokenError("the token is spent")
        except TokenError as error:
            _log.warning("release-token-refused", support_id=transaction.support_id, detail=str(error))
            return None
        return Answer(
            disposition=Disposition.ACCEPT,
            event=Event.RELEASED,
            remove=(StaleHeader(name=RELEASE_HEADER, index=1),),
            facts={"support_id": transaction.support_id},
        )

    def replied(self, transaction: Transaction, inspection: Inspection, sender: Sender) -> Answer | None:
        """The answer to mail for a reply address, done before it is given; None for other mail. Raises StoreError.

        Mail that is also for somebody else is no reply: it is judged like any other.
        """
        mailbox = self.settings.sender_pages.reply_address
        if not mailbox:
            return None
        addresses = {path.address for path in transaction.recipients}
        if not addresses or not all(is_reply_address(each, mailbox=mailbox) for each in addresses):
            return None
        if inspection.automatic or not transaction.sender.address:
            return _taken(transaction, "automatic")
        if not sender.known or not sender.mailbox:
            return replies.refused(transaction.support_id, _ONLY_REPLIES)
        held = self._asked(addresses, sender)
        if held is None:
            return self._explained(transaction, sender, "unknown", _UNKNOWN)
        choice, reason = spoken(inspection)
        if choice is None:
            return self._explained(transaction, sender, held.id, _UNCLEAR)
        said = SenderAnswer(held_id=held.id, choice=choice, sender=held.sender, reason=reason, via="reply")
        done = self._letter(sender, _DONE[choice], held)
        try:
            kept = self.desk.answer(said, notices=[done])
        except ConflictError:
            return self._explained(transaction, sender, held.id, _TOO_LATE)
        if kept.choice is not choice:
            return self._explained(transaction, sender, held.id, _TOO_LATE)
        # The same answer again may be a client that did not hear ours: it was done, and they have been told.
        return _taken(transaction, kept.choice.value, held_id=held.id)

    def _asked(self, addresses: set[str], sender: Sender) -> HeldMessage | None:
        """The message that this sender was asked about at this address, while there is time to answer."""
        if len(addresses) != 1:
            return None
        (address,) = addresses
        try:
            held = self.desk.get(self._addresses.held_id(address))
        except NotFoundError:
            return None
        mine = held.sender.casefold() == sender.mailbox.casefold() and self._addresses.is_good(address, held)
        return held if mine and datetime.now(UTC) < ends(held, settings=self.settings) else None

    def _explained(self, transaction: Transaction, sender: Sender, about: str, words: Mapping[str, str]) -> Answer:
        """Tell a known sender why nothing was done: once by mail, as machines must not talk; then by refusing."""
        key = f"reply-explained:{about}:{sender.mailbox.casefold()}"
        if notices.answerable(sender.mailbox) and self.desk.owe(
            [self._letter(sender, words)], key=key, key_has_message_id=True
        ):
            return _taken(transaction, "explained")
        return replies.refused(transaction.support_id, _AGAIN)

    def _letter(self, sender: Sender, words: Mapping[str, str], held: HeldMessage | None = None) -> Notice:
        lines = [f"Subject: {held.subject or '(no subject)'}"] if held is not None else []
        closing = f"If you have a question, write to {notices.help_address(self.settings)}."
        if held is not None:
            closing += f" Please quote {held.explanation.support_id}."
        return notices.report(sender.mailbox, gateway=self.settings.gateway, lines=lines, closing=closing, **words)


def spoken(inspection: Inspection) -> tuple[Choice | None, str]:
    """What a reply's first line says, and the reason on the lines after it. Nothing that is quoted counts.

    The first line is the word alone; whatever else stands on it could mean something else.
    """
    texts = [each for each in inspection.texts if not each.of_file]
    own = [each for each in texts if not each.html] or texts
    lines = [line.strip() for line in own[0].text.splitlines()] if own else []
    while lines and not lines[0]:
        del lines[0]
    choice = _WORDS.get(lines[0].rstrip(".! ").casefold()) if lines else None
    if choice is None:
        return None, ""
    reason: list[str] = []
    for line in lines[1:]:
        if _QUOTE.match(line) or (reason and not line):
            break
        if line:
            reason.append(line)
    return choice, " ".join(" ".join(reason).split())[:REASON_LIMIT]


def _taken(transaction: Transaction, outcome: str, *, held_id: str = "") -> Answer:
    """The reply has done what it can do, and is delivered to nobody."""
    facts = {"support_id": transaction.support_id, "reply_outcome": outcome}
    return Answer(
        disposition=Disposition.DISCARD,
        event=Event.ANSWERED,
        facts=facts | ({"held_id": held_id} if held_id else {}),
    )


_DONE = {
    Choice.SEND: {
        "title": "Your message is being sent",
        "intro": "You answered SEND, so your message goes to everybody it was being held for.",
    },
    Choice.WITHDRAW: {
        "title": "Your message was withdrawn",
        "intro": "You answered WITHDRAW, so your message will not be sent. You can write a new one.",
    },
}
_UNKNOWN = {
    "title": "Your answer could not be used",
    "intro": "It did not come from the mailbox that was asked, or it is too late. Nothing was changed.",
}
_UNCLEAR = {
    "title": "Your answer was not understood",
    "intro": "Nothing was changed. Please answer again, with SEND or WITHDRAW alone on the first line.",
}
_TOO_LATE = {
    "title": "Your answer could not be used",
    "intro": "The message has been decided about already, or a reviewer has to decide. Nothing was changed.",
}
