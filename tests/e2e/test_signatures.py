"""What was signed is still signed after it was held: bytes in all their oddity, through a real Postfix twice."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mails import as_sent
from support.postfix import PATIENCE, PostfixLab, deliver, postfix_lab
from support.signing import Shape, Signer, letters

pytestmark = pytest.mark.slow

SIGNED = int(os.environ.get("GATEPOST_SIGNED", "22"))
"""How many; a thousand take a few minutes."""

POLICY = """
name: test
title: Hold everything, but for one mailbox
version: "1"
roles:
  it-support: {title: IT Support, mailboxes: ["it.support@{domain}"]}
rules:
  - id: everything
    title: Everything
    find: recipient.address != 'passes@school.example'
    action: quarantine
    queue: it-support
    say: Everything is held.
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[PostfixLab]:
    """A school that holds all mail, but for one mailbox that shows what Postfix does to it without us."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    with postfix_lab(overrides={"policy": str(tmp_path / "policy.yaml")}) as made:
        yield made


def test_every_signature_that_was_good_is_good_after_release(lab: PostfixLab) -> None:
    """The copy that was held and released is, below the Received fields, the copy that passed at once.

    Postfix itself breaks long lines and ends bare ones, so a signature counts as good before if it is good in
    the copy that nobody held.
    """
    signer = Signer()
    sent = letters(SIGNED, signer=signer)
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp, timeout=PATIENCE * 4) as client:
        for number, letter in enumerate(sent):
            to = [f"held{number}@school.example", "passes@school.example"]
            deliver(client, letter.content, sender="someone@outside.example", to=to, options=letter.options)
    lab.settle()
    passed = {as_sent(each.content) for each in lab.mailboxes.of("passes@school.example")}
    with lab.store() as store:
        for held in lab.held():
            store.release(held.id, actor="story")
    good = 0
    for number, letter in enumerate(sent):
        (released,) = lab.arrives(f"held{number}@school.example")
        below = as_sent(released.content)
        assert below in passed, (letter, released.content)
        assert released.content.count(b"\nReceived: ") == 1, released.content  # ours, below Postfix's own
        assert signer.verifies(released.content) == signer.verifies(below)
        good += signer.verifies(below)
        if letter.shape not in (Shape.LONG_LINES, Shape.BARE_LF, Shape.BARE_CR):
            assert below == letter.content
            assert signer.verifies(below), letter
    assert good >= SIGNED * 8 // 11
