"""Owns what the tests of the quarantine room make: held messages, notices, and a clock that is told the time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gatepost_config.words import (
    Action,
    Direction,
    Evidence,
    Explanation,
    Finding,
    Mode,
    Outcome,
    PolicyRef,
)
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import Chunks, Envelope, HeldMessage, HeldRecipient, Notice, NoticeKind, new_id

MESSAGE = (
    b"From: Supplier <sales@supplier.example>\r\n"
    b"To: Teacher <teacher@school.example>\r\n"
    b"Subject: Invoice\r\n"
    b"Message-ID: <invoice-1@supplier.example>\r\n"
    b"\r\n"
    b"Please open the attached program.\r\n"
    b".\r\n"
    b"..two dots\r\n"
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **how_far: float) -> None:
        """Move forward by so many ``days``, ``minutes`` or ``seconds``."""
        self.now += timedelta(**how_far)


def recipient(
    address: str = "teacher@school.example",
    *,
    direction: Direction = Direction.INBOUND,
    parameters: Sequence[str] = (),
) -> HeldRecipient:
    """A recipient for whom a message is held."""
    return HeldRecipient(
        address=address, direction=direction, action=Action.QUARANTINE, parameters=tuple(parameters)
    )


def finding(addresses: Sequence[str], **changes: Any) -> Finding:
    """The finding that holds most messages of these tests."""
    values: dict[str, Any] = {
        "rule": "executable-attachment",
        "clause": "KCS 2.6",
        "mode": Mode.ENFORCE,
        "wanted": Action.QUARANTINE,
        "actions": dict.fromkeys(addresses, Action.QUARANTINE),
        "evidence": (Evidence(kind="attachment", name="setup.exe", where="part 2 › invoice.zip › setup.exe"),),
        "say": "“setup.exe” cannot be sent by email because it is a Windows program.",
        "mend": "Ask IT Support to fetch it for you.",
        "queue": "it-support",
    }
    return Finding(**{**values, **changes})


def explanation(addresses: Sequence[str], **changes: Any) -> Explanation:
    """Why a message for these addresses is held."""
    values: dict[str, Any] = {
        "support_id": "7KQ-2MX",
        "policy": PolicyRef(name="kcs", version="1", digest="0" * 64),
        "outcomes": tuple(
            Outcome(recipient=each, direction=Direction.INBOUND, action=Action.QUARANTINE) for each in addresses
        ),
        "findings": (finding(addresses),),
    }
    return Explanation(**{**values, **changes})


def held(content: bytes = MESSAGE, **changes: Any) -> HeldMessage:
    """A held message; what is not given is that of an ordinary message from outside."""
    recipients = tuple(changes.pop("recipients", (recipient(),)))
    values: dict[str, Any] = {
        "id": new_id(),
        "key": hashlib.sha256(content).hexdigest(),
        "key_has_message_id": True,
        "gateway": "mx1.school.example",
        "queue_id": "4cXyZ12abc",
        "envelope": Envelope(
            sender="sales@supplier.example",
            sender_parameters=("BODY=8BITMIME",),
            client_name="mail.supplier.example",
            client_address="192.0.2.25",
            client_port=40123,
            helo="mail.supplier.example",
            protocol="ESMTP",
            tls_version="TLSv1.3",
        ),
        "sender": "",
        "recipients": recipients,
        "explanation": explanation([each.address for each in recipients]),
        "size": len(content),
        "subject": "Invoice",
        "from_header": "Supplier <sales@supplier.example>",
        "message_id": "<invoice-1@supplier.example>",
        "queue": "it-support",
        "received_at": datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
    }
    return HeldMessage(**{**values, **changes})


def chunks(content: bytes, *, size: int = 64 * 1024) -> Chunks:
    """The content as a spool gives it: in pieces."""
    return lambda: (content[start : start + size] for start in range(0, len(content), size))


def notice(to: str = "teacher@school.example", **changes: Any) -> Notice:
    """A notice that is owed."""
    values: dict[str, Any] = {
        "kind": NoticeKind.HELD_RECIPIENT,
        "to": to,
        "message_id": f"<{new_id()}@mx1.school.example>",
        "context": {"explanation": explanation([to]).to_json(), "subject": "Invoice"},
    }
    return Notice(**{**values, **changes})


def hold_event(message: HeldMessage) -> Event:
    """The event that goes along with a hold."""
    return Event(verb=Verb.HOLD, actor="gatepost-milter", held_id=message.id, at=message.received_at)
