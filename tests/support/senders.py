"""Owns what the tests of senders' answers make: outbound messages that wait for their sender."""

from __future__ import annotations

from typing import Any

from support.quarantine import explanation, finding, held

from gatepost_config.words import Action, Direction, Finding, Outcome
from gatepost_quarantine.held import Envelope, HeldMessage, HeldRecipient, new_id

TEACHER = "h.marsh@school.example"
ANNA, BEN = "anna.berg@mail.example", "ben.cole@mail.example"
LETTER = (
    b"From: Helen Marsh <h.marsh@school.example>\r\n"
    b"To: <anna.berg@mail.example>, <ben.cole@mail.example>\r\n"
    b"Subject: Trip to York\r\n"
    b"Message-ID: <trip-1@school.example>\r\n"
    b"\r\n"
    b"Please bring a packed lunch.\r\n"
)


def exposed(addresses: tuple[str, ...] = (ANNA, BEN), **changes: Any) -> Finding:
    """The finding that asks the sender."""
    values: dict[str, Any] = {
        "rule": "parents-exposed",
        "clause": "KCS 2.10c",
        "wanted": Action.CONFIRM,
        "actions": dict.fromkeys(addresses, Action.CONFIRM),
        "evidence": (),
        "say": "To and Cc show the addresses of 2 families to one another.",
        "mend": "Use the school's portal, or put them in Bcc and your own address in To.",
    }
    return finding(addresses, **{**values, **changes})


def waiting(
    *findings: Finding,
    addresses: tuple[str, ...] = (ANNA, BEN),
    action: Action = Action.CONFIRM,
    content: bytes = LETTER,
    **changes: Any,
) -> HeldMessage:
    """A message of a teacher's to these addresses, held with this action for these findings."""
    outcomes = tuple(Outcome(recipient=each, direction=Direction.OUTBOUND, action=action) for each in addresses)
    values: dict[str, Any] = {
        "key": new_id(),
        "sender": TEACHER,
        "envelope": Envelope(sender=TEACHER, login=TEACHER, client_address="192.0.2.7", protocol="ESMTPA"),
        "recipients": tuple(
            HeldRecipient(address=each, direction=Direction.OUTBOUND, action=action) for each in addresses
        ),
        "explanation": explanation(addresses, outcomes=outcomes, findings=findings or (exposed(addresses),)),
        "subject": "Trip to York",
        "from_header": "Helen Marsh <h.marsh@school.example>",
        "message_id": "<trip-1@school.example>",
    }
    return held(content, **{**values, **changes})
