"""Owns what the quarantine keeps: held messages, their recipients, and the mails that are owed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gatepost_config.words import Action, Direction, Explanation

_ID_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"
_ID_LENGTH = 16


def new_id() -> str:
    """A random id for a held message: 78 bits, without letters that are misread or spell words by chance."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))


class State(StrEnum):
    """Where a held message stands for one recipient.

    ``releasing`` is asked for but not yet accepted by Postfix. All others but ``held`` are final.
    """

    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    DENIED = "denied"
    DELETED = "deleted"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Choice(StrEnum):
    """What the known sender of a held message may answer: send it anyway, withdraw it, or ask a reviewer."""

    SEND = "send"
    WITHDRAW = "withdraw"
    ASK = "ask"


class NoticeKind(StrEnum):
    """Which mail is owed, and to whom it speaks."""

    WARNING = "warning"
    HELD_SENDER = "held-sender"
    HELD_RECIPIENT = "held-recipient"
    WARNING_RECIPIENT = "warning-recipient"
    ROLE = "role"
    DENIED = "denied"
    EXPIRED = "expired"
    RELEASED = "released"
    REPORT = "report"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The original SMTP envelope and client, kept so that a release is the message that was sent.

    Parameters are the ESMTP parameters of MAIL and RCPT as they came (BODY, SMTPUTF8, RET, ENVID, NOTIFY,
    ORCPT). The client facts build the Received field and the XFORWARD command of the release.
    """

    sender: str
    sender_parameters: tuple[str, ...] = ()
    client_name: str = ""
    client_address: str = ""
    client_port: int = 0
    helo: str = ""
    protocol: str = ""
    login: str = ""
    tls_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRecipient:
    """One recipient of a held message. ``reply`` is Postfix's SMTP reply to the release."""

    address: str
    direction: Direction
    action: Action
    parameters: tuple[str, ...] = ()
    state: State = State.HELD
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""
    released_to: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMessage:
    """A message that is kept back for some or all of its recipients.

    ``id`` is random. ``key`` is the idempotency key (hexadecimal SHA-256, DESIGN section 7): a retry of the
    same message joins instead of being held again. ``sender`` is the known sender's mailbox, empty if nobody
    is known. ``size`` is in bytes, before compression.
    """

    id: str
    key: str
    key_has_message_id: bool
    gateway: str
    queue_id: str
    envelope: Envelope
    sender: str
    recipients: tuple[HeldRecipient, ...]
    explanation: Explanation
    size: int
    subject: str = ""
    from_header: str = ""
    message_id: str = ""
    queue: str = ""
    attachments: tuple[Mapping[str, Any], ...] = ()
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def sealed(self) -> bool:
        """Whether only the roles of a seal key may ever open it (``seal`` for one recipient seals it for all)."""
        return any(each.action is Action.SEAL for each in self.recipients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A mail that is owed. The courier renders it once, keeps the bytes, and sends those until accepted.

    ``message_id`` (with angle brackets) is fixed when the notice is owed, so that a resend is the same mail.
    ``context`` holds what the template needs; never a secret and never a Bcc address.
    """

    kind: NoticeKind
    to: str
    message_id: str
    context: Mapping[str, Any]
    held_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderAnswer:
    """What the sender of a held message answered; there is one for each message, and it stays.

    ``via`` is ``page`` or ``reply``. ``reason`` is in the sender's own words.
    """

    held_id: str
    choice: Choice
    sender: str
    reason: str
    via: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOutcome:
    """What a hold led to. ``joined`` means an earlier hold of the same message answers for this one."""

    held_id: str
    joined: bool


Chunks = Callable[[], Iterator[bytes]]
