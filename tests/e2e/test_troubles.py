"""Things that go wrong in the middle of a message: the client tries again, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.mails import as_sent, clean, infected
from support.other_milter import BreakingWire
from support.postfix import PATIENCE, PostfixLab, postfix_lab

from gatepost_milter.demo.postfix import folder
from gatepost_quarantine.held import State

TEACHER = "t.teacher@school.example"


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """A school with the default policy, and one worker to aim at."""
    with postfix_lab(logins=[TEACHER], overrides={"workers": 1}) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a story enters, left in turn when it ends."""
    with ExitStack() as entered:
        yield entered


def children(pid: int) -> list[int]:
    """The processes that this one has started and that still run."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in listed.split()]


def test_a_retry_after_a_lost_answer_is_the_same_message(stack: ExitStack) -> None:
    """The store has committed, and the answer never comes: one hold, one notice to each, after two tries."""
    home = folder()
    stack.callback(os.rmdir, home)
    path = home / "wire.sock"
    stack.callback(path.unlink)
    first = stack.enter_context(postfix_lab())
    wire = stack.enter_context(BreakingWire(path, target=first.running.socket))
    lab = stack.enter_context(postfix_lab(gateway=False, milter=wire.address))
    content = infected("Sent twice")
    with pytest.raises(smtplib.SMTPResponseException) as answer:
        lab.inbound(content, to=["retry@school.example"])
    assert (wire.broken.is_set(), answer.value.smtp_code // 100) == (True, 4)
    assert len(first.held("Sent twice")) == 1
    lab.inbound(content, to=["retry@school.example"])
    assert len(first.held("Sent twice")) == 1
    first.arrives("retry@school.example")
    first.settle()
    assert len(first.mailboxes.of("retry@school.example")) == 1
    assert lab.undelivered("retry@school.example")


def test_a_worker_killed_in_mid_message(lab: PostfixLab) -> None:
    """Its client is asked to come again; the next worker takes the message, and it is there once."""
    content = clean("Survivor")
    (worker,) = children(lab.running.milter.pid)
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp, timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("someone@outside.example")
        client.rcpt("survivor@school.example")
        os.kill(worker, signal.SIGKILL)
        code, _ = client.data(content)
    assert code // 100 == 4
    assert retried(lab, content, to="survivor@school.example").startswith("2.0.0")
    assert len(lab.arrives("survivor@school.example")) == 1


def retried(lab: PostfixLab, content: bytes, *, to: str) -> str:
    """What a mail server does on 4xx: send again, until it is taken or our patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return lab.inbound(content, to=[to])
        except smtplib.SMTPResponseException as answer:
            if answer.smtp_code // 100 != 4 or time.monotonic() > deadline:
                raise


def test_inspectors_killed_in_mid_message(lab: PostfixLab) -> None:
    """A message whose inspector has died is held or tried again, and never let through unseen."""
    (worker,) = children(lab.running.milter.pid)
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp, timeout=PATIENCE * 2) as client:
        client.ehlo()
        client.mail("someone@outside.example")
        client.rcpt("inspected@school.example")
        inspectors = children(worker)
        assert inspectors
        for each in inspectors:
            os.kill(each, signal.SIGKILL)
        code, _ = client.data(infected("Inspected by nobody"))
    held = lab.held("Inspected by nobody")
    assert (code, len(held)) in {(250, 1), (451, 0)}
    lab.settle()
    assert all(
        as_sent(each.content) != infected("Inspected by nobody")
        for each in lab.mailboxes.of("inspected@school.example")
    )
    assert retried(lab, infected("Inspected at last"), to="inspected@school.example")
    (held_next,) = lab.held("Inspected at last")
    assert held_next.recipients[0].state is State.HELD


def test_a_full_disk_stops_holds_and_nothing_else() -> None:
    """Below the floor a hold is put off until there is room; clean mail, which needs none, passes."""
    with postfix_lab(overrides={"store": {"free_floor": 10**18}}) as lab:
        with pytest.raises(smtplib.SMTPResponseException) as answer:
            lab.inbound(infected("No room"), to=["full@school.example"])
        assert answer.value.smtp_code == 451
        assert lab.held() == ()
        lab.inbound(clean("Needs no room"), to=["clean@school.example"])
        assert lab.arrives("clean@school.example")
        assert lab.undelivered("full@school.example")


def test_without_gatepost_mail_waits_with_the_client(stack: ExitStack) -> None:
    """Nobody listens at the socket: milter_default_action is tempfail, so nothing passes unseen."""
    lab = stack.enter_context(postfix_lab(gateway=False, milter="unix:/nobody/listens/here.sock"))
    with pytest.raises(smtplib.SMTPResponseException) as answer:
        lab.inbound(clean("Waits"), to=["waits@school.example"])
    assert answer.value.smtp_code == 451
    assert lab.undelivered("waits@school.example")
