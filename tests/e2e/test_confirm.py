"""The sender is asked: hold, notice, link or reply, delivery. And releases that come back by the front door."""

from __future__ import annotations

import email
import re
import smtplib
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.policy import default

import pytest
from starlette.testclient import TestClient
from support.mails import as_sent, infected
from support.postfix import PATIENCE, PostfixLab, postfix_lab

from gatepost_config.documents import load_settings
from gatepost_milter.demo.mailboxes import Delivery
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sender.web import application

TEACHER, HEAD = "t.teacher@school.example", "head@school.example"
PAGES = {"public_url": "https://mail.school.example/held", "reply_address": "gatepost@school.example"}


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """A school whose senders are asked."""
    with postfix_lab(logins=[TEACHER, HEAD], overrides={"sender_pages": PAGES}) as made:
        yield made


def private(subject: str, to: str) -> bytes:
    """A letter whose answers would go to a private account: the default policy asks its sender."""
    return (
        f"From: Teacher <{TEACHER}>\r\nReply-To: teacher.at.home@gmail.com\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Date: Mon, 02 Nov 2026 08:30:00 +0000\r\nMessage-ID: <{subject.replace(' ', '.')}@school.example>\r\n"
        "X-Odd:\tone\r\n  two\r\n\r\nSee you at the meeting. \r\n.\r\n\r\n"
    ).encode()


def asked(lab: PostfixLab, subject: str, to: str) -> tuple[bytes, HeldMessage, EmailMessage]:
    """Send such a letter: what was sent, what is held, and the notice that its sender gets."""
    content = private(subject, to)
    lab.submit(content, to=[to], login=TEACHER)
    (held,) = lab.held(subject)
    # By its subject and not as the newest: what earlier stories set off may still be on its way.
    (notice,) = (each for each in notices(lab, TEACHER, about=subject) if each["Reply-To"])
    return content, held, notice


def notices(lab: PostfixLab, address: str, *, about: str) -> list[EmailMessage]:
    """The notices about a message of this subject that came to the address; waits for the first."""

    def these(deliveries: Sequence[Delivery]) -> list[EmailMessage]:
        came = (each.content for each in deliveries if address in each.recipients)
        read = (email.message_from_bytes(each, policy=default) for each in came)
        return [each for each in read if f"  Subject: {about}" in plain(each).splitlines()]

    assert lab.mailboxes.wait(lambda all_: bool(these(all_)), seconds=PATIENCE), lab.postfix.log()
    return these(lab.mailboxes.of(address))


def plain(notice: EmailMessage) -> str:
    """The text of a notice."""
    body = notice.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def reply(words: str, *, to: str, subject: str = "Re: Auto", **fields: str) -> bytes:
    """A reply as a mail program writes it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = TEACHER, to, subject
    message["Message-ID"] = f"<{abs(hash((words, to, *fields)))}@school.example>"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(words)
    return message.as_bytes(policy=default.clone(linesep="\r\n"))


def test_from_hold_to_delivery_by_the_link(lab: PostfixLab) -> None:
    """A hundred prefetches do nothing, one form sends, and what arrives is what was written, byte for byte."""
    to = "parent@outside.example"
    content, held, notice = asked(lab, "By the link", to)
    (link,) = re.findall(r"https://mail\.school\.example(/held/\S+)", plain(notice))
    with lab.store() as store:
        pages = TestClient(application(load_settings(lab.running.config), store=store), follow_redirects=False)
        for _ in range(100):
            assert pages.get(link).status_code == 200
        assert store.get(held.id).recipients[0].state is State.HELD
        assert pages.post(link, data={"choice": "send", "reason": "I read it at home."}).status_code == 303
        assert pages.post(link, data={"choice": "withdraw"}).status_code == 303
    (delivery,) = lab.arrives(to)
    assert as_sent(delivery.content) == content
    lab.settle()
    assert len(lab.mailboxes.of(to)) == 1
    with lab.store() as store:
        verbs = [each.verb for each in store.events(held.id)]
        assert store.get(held.id).recipients[0].reason == "I read it at home."
    assert verbs.count(Verb.CONFIRM) == 1


def test_from_hold_to_delivery_by_a_reply(lab: PostfixLab) -> None:
    """What a machine, an outsider or a colleague answers changes nothing; the sender's own word does."""
    to = "by.reply@outside.example"
    content, held, notice = asked(lab, "By a reply", to)
    address = str(notice["Reply-To"])
    assert address.startswith("gatepost+")
    away = reply("SEND\n", to=address, Auto_Submitted="auto-replied")
    lab.submit(away, to=[address], login=TEACHER)
    lab.submit(reply("SEND\nI am away.\n", to=address, Precedence="bulk"), to=[address], login=TEACHER)
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        lab.inbound(reply("SEND\n", to=address, subject="forged"), to=[address], sender=TEACHER)
    assert refused.value.smtp_code == 550
    lab.submit(reply("SEND\n", to=address, subject="mine?"), to=[address], login=HEAD)
    with lab.store() as store:
        assert store.get(held.id).recipients[0].state is State.HELD
    lab.submit(reply("SEND\nI read it at home.\n\n> quoted\n", to=address), to=[address], login=TEACHER)
    (delivery,) = lab.arrives(to)
    assert as_sent(delivery.content) == content
    told = [plain(email.message_from_bytes(each.content, policy=default)) for each in lab.arrives(HEAD)]
    assert len(told) == 1
    assert "did not come from the mailbox that was asked" in " ".join(told[0].split())
    lab.settle()
    assert lab.mailboxes.of(address) == ()


def test_a_withdrawn_letter_is_sent_to_nobody(lab: PostfixLab) -> None:
    """And its sender reads that it was."""
    to = "never@outside.example"
    _content, held, notice = asked(lab, "Not after all", to)
    address = str(notice["Reply-To"])
    lab.submit(reply("Withdraw.\n", to=address), to=[address], login=TEACHER)
    words = b"Your message was withdrawn"
    # Notices of the stories before may still be on their way.
    assert lab.mailboxes.wait(
        lambda all_: any(TEACHER in each.recipients and words in each.content for each in all_), seconds=PATIENCE
    )
    with lab.store() as store:
        assert store.get(held.id).recipients[0].state is State.WITHDRAWN
    assert lab.undelivered(to)


def test_releases_come_back_through_the_front_door_once() -> None:
    """With no listener of our own: the token lets exactly our mail pass, and a copy of it lets nothing pass."""
    overrides = {"courier": {"way": "front-door", "poll": 0.1}}
    with postfix_lab(logins=[TEACHER], overrides=overrides, front_door=True) as lab:
        letter = infected("Through the front door")
        lab.inbound(letter, to=[TEACHER])
        (held,) = lab.held("Through the front door")
        lab.release(held)
        arrived = [each.content for each in lab.arrives(TEACHER, count=2)]
        assert len([each for each in arrived if as_sent(each) == letter]) == 1
        assert not [each for each in arrived if b"X-Gatepost-Release" in each]
        assert len(lab.held("Through the front door")) == 1
        forged = b"X-Gatepost-Release: WyJhIiwiYiIsImMiLDFd.forged\r\n" + infected("Forged")
        lab.inbound(forged, to=[TEACHER])
        assert len(lab.held("Forged")) == 1
        assert lab.running.milter.wait_for(lambda line: line["event"] == "release-token-refused", seconds=10)
