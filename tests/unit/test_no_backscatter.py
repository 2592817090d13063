"""Forged mails from outside make no mail to anybody outside, and none to whom they pretend to be."""

from __future__ import annotations

import email
import os
from collections import Counter
from datetime import UTC, datetime
from email.policy import default

import pytest
from support.gates import TEACHER, Keeper, OwnMail, finding, inspection, transaction, verdict
from support.gates import Judge as GivenJudge

from gatepost_config.settings import School, Settings
from gatepost_config.words import Action, Direction
from gatepost_milter.gate import Gate
from gatepost_milter.inspection import recipients
from gatepost_milter.inspection.model import Attachment, FileClass, Inspection
from gatepost_milter.policy import policy
from gatepost_milter.transaction import Transaction
from gatepost_quarantine import notices
from gatepost_quarantine.held import NoticeKind

FORGED = int(os.environ.get("GATEPOST_FORGED", "500"))
"""How many; ten thousand take most of a minute, and show the same."""


def attack(number: int) -> tuple[Transaction, Inspection]:
    """A mail from outside that claims to be from the school, or from somebody else, with a program in it."""
    claimed = TEACHER if number % 2 else f"victim{number}@elsewhere.example"
    message = transaction(
        f"person{number % 100}@school.example",
        sender=claimed,
        login="",
        headers=(
            (b"From", f" <{claimed}>".encode()),
            (b"To", b" <someone@school.example>"),
            (b"Subject", f" Invoice {number}".encode()),
            (b"Message-ID", f" <{number}@elsewhere.example>".encode()),
        ),
    )
    program = Attachment(
        path="part 2 › invoice.exe",
        part="2",
        name="invoice.exe",
        names=("invoice.exe",),
        classes=frozenset({FileClass.EXECUTABLE}),
        tier="T1",
    )
    seen = Inspection(size=100, subject=f"Invoice {number}", message_id=f"<{number}@elsewhere.example>")
    return message, Inspection(
        size=seen.size, subject=seen.subject, message_id=seen.message_id, attachments=(program,)
    )


def test_forged_mails_make_no_backscatter() -> None:
    """The school's real rules hold every one of them; who is told is at the school, and is never the sender."""
    judge = policy.load(
        Settings(school=School(name="Example School", domains=["school.example"]), policy="kings-college"),
        tested=False,
    )
    # A keeper for each, because this one looks through all that it has for the key of a retry.
    told: Counter[str] = Counter()
    held = 0
    for number in range(FORGED):
        message, seen = attack(number)
        keeper = Keeper()
        gate = Gate(
            inspect=lambda content, *, deadline, hashes=False, seen=seen: seen,
            policy=judge,
            store=keeper,
            gateway="gw.school.example",
        )
        gate.process(message)
        held += len(keeper.held)
        told.update(each.to for each in keeper.notices)
        senders = [each for each in keeper.notices if each.kind in (NoticeKind.WARNING, NoticeKind.HELD_SENDER)]
        assert senders == []
    assert held == FORGED
    assert TEACHER not in told
    assert all(each.endswith("@school.example") for each in told)


@pytest.mark.parametrize("kind", [NoticeKind.WARNING, NoticeKind.HELD_SENDER])
def test_a_loop_stops_at_one(kind: NoticeKind) -> None:
    """A notice that comes back, answered or forwarded whole, is known for what it is, and is told to nobody."""
    action = Action.WARN if kind is NoticeKind.WARNING else Action.QUARANTINE
    to = "parent@home.example"
    given = verdict({to: (Direction.OUTBOUND, action)}, finding("w", {to: action}, tell=("it-support",)))
    keeper = Keeper()
    settings = Settings(school=School(name="Example School", domains=["school.example"]), gateway="gw.example")

    def process(seen: Inspection, *, sender: str = TEACHER, marked: bool = False) -> int:
        before = sum(each.to == TEACHER for each in keeper.notices)
        message = transaction(to, sender=sender, headers=((b"Message-ID", seen.message_id.encode()),))
        Gate(
            inspect=lambda content, *, deadline, hashes=False: seen,
            policy=GivenJudge(given),
            store=keeper,
            gateway="gw.school.example",
            own=OwnMail(notices=marked),
        ).process(message)
        return sum(each.to == TEACHER for each in keeper.notices) - before

    assert process(inspection(to)) == 1
    owed = next(each for each in keeper.notices if each.to == TEACHER)
    raw = notices.render(owed, settings=settings, now=datetime(2026, 11, 20, tzinfo=UTC))
    fields: dict[str, list[bytes]] = {}
    for name, value in email.message_from_bytes(raw, policy=default).items():
        fields.setdefault(name.lower(), []).append(str(value).encode())
    assert recipients.is_automatic(fields)
    again = Inspection(size=10, message_id="<again@home.example>", automatic=recipients.is_automatic(fields))
    assert process(again) == 0
    assert process(Inspection(size=10, message_id="<bounce@home.example>"), sender="") == 0
    # A mailbox may send it on as its owner's own mail, with nothing left of that but the mark.
    assert process(Inspection(size=10, message_id="<on@home.example>"), marked=True) == 0
    assert process(Inspection(size=10, message_id="<other@home.example>")) == 1
