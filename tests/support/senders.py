"""Owns what the tests of senders' answers make: outbound messages that wait for their sender, and the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from support.quarantine import Clock, chunks, explanation, finding, held, hold_event
from support.stores import new_store

from gatepost_config import settings
from gatepost_config.settings import School, SenderPages, Settings
from gatepost_config.words import Action, Direction, Finding, Outcome
from gatepost_quarantine.held import Envelope, HeldMessage, HeldRecipient, State, new_id
from gatepost_quarantine.offers import ends
from gatepost_quarantine.sender.web import application
from gatepost_quarantine.sql import open_store
from gatepost_quarantine.tokens import LINK_KEY, Claim, Links

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


class Counter:
    """Sender pages with their store, asked without a network. ``path`` is that of the public address."""

    def __init__(self, folder: Path, *, clock: Clock | None = None, path: str = "") -> None:
        self.clock = clock or Clock()
        self.settings = Settings(
            school=School(name="Park School", domains=["school.example"]),
            roles={"it-support": ["it@school.example"]},
            gateway="mx1.school.example",
            store=settings.Store(url=new_store(folder / "quarantine.db"), free_floor=0),
            sender_pages=SenderPages(public_url=f"https://mail.school.example{path}"),
        )
        self.store = open_store(self.settings.store, gateway="mx1.school.example", clock=self.clock)
        self.app = application(self.settings, store=self.store, clock=self.clock)
        self.client = TestClient(self.app, base_url="https://mail.school.example", follow_redirects=False)

    def keep(self, message: HeldMessage, content: bytes = LETTER) -> HeldMessage:
        """Hold a message."""
        self.store.hold(message, content=chunks(content), events=[hold_event(message)])
        return message

    def link(self, message: HeldMessage) -> str:
        """The path of the link that its notice has."""
        claim = Claim(held_id=message.id, sender=message.sender)
        token = Links(self.store.key(LINK_KEY)).make(claim, until=ends(message, settings=self.settings))
        return f"/{token}"

    def answer(self, path: str, choice: str, reason: str = "") -> Any:
        """Send the form of a page."""
        return self.client.post(path, data={"choice": choice, "reason": reason})

    def states(self, message: HeldMessage) -> list[State]:
        """Where the message stands for each recipient."""
        return [each.state for each in self.store.get(message.id).recipients]
