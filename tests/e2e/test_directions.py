"""Mail in every direction through Postfix, milter and courier: what is held, what passes, and who is told."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest
from support.mails import as_sent, clean, infected
from support.postfix import PostfixLab, postfix_lab

from gatepost_config.words import Action, Direction
from gatepost_milter.demo.samples import LIMIT, photo
from gatepost_quarantine.held import State

TEACHER = "t.teacher@school.example"
IT_SUPPORT = "it.support@school.example"
OUTSIDER = "someone@outside.example"


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """A school with the default policy."""
    with postfix_lab(logins=[TEACHER]) as made:
        yield made


def test_a_clean_letter_arrives_as_it_was_sent(lab: PostfixLab) -> None:
    """Byte for byte, but for what Postfix itself puts above it."""
    content = clean("A clean letter")
    lab.inbound(content, to=["clean@school.example"])
    (delivery,) = lab.arrives("clean@school.example")
    assert as_sent(delivery.content) == content
    assert lab.held("A clean letter") == ()


def test_a_program_from_outside_is_held_and_the_school_is_told(lab: PostfixLab) -> None:
    """The recipient and IT Support get a notice; the sender, whom nobody knows, gets none."""
    lab.inbound(infected("From outside"), to=["held.in@school.example"], sender=OUTSIDER)
    (held,) = lab.held("From outside")
    assert [(each.direction, each.action) for each in held.recipients] == [(Direction.INBOUND, Action.QUARANTINE)]
    (notice,) = lab.arrives("held.in@school.example")
    assert b"Auto-Submitted: auto-" in notice.content
    assert notice.sender == ""
    assert lab.arrives(IT_SUPPORT)
    assert lab.undelivered(OUTSIDER)


def test_a_program_that_goes_out_is_held_and_its_sender_is_told(lab: PostfixLab) -> None:
    """The person outside hears nothing of it."""
    lab.submit(infected("To the outside"), to=["friend@family.example"], login=TEACHER)
    (held,) = lab.held("To the outside")
    assert [each.direction for each in held.recipients] == [Direction.OUTBOUND]
    assert held.sender == TEACHER
    assert lab.arrives(TEACHER)
    assert lab.undelivered("friend@family.example")


def test_a_program_between_colleagues_is_held(lab: PostfixLab) -> None:
    """Mail inside the school is judged like any other."""
    lab.submit(infected("To a colleague"), to=["colleague@school.example"], login=TEACHER)
    (held,) = lab.held("To a colleague")
    assert [each.direction for each in held.recipients] == [Direction.INTERNAL]
    assert all(b"Auto-Submitted" in each.content for each in lab.arrives("colleague@school.example"))


def test_a_forged_colleague_is_nobody(lab: PostfixLab) -> None:
    """Without a login the envelope proves nothing: the mail is inbound, and its "sender" is not told."""
    lab.inbound(infected("Forged"), to=["victim@school.example"], sender="forged@school.example")
    (held,) = lab.held("Forged")
    assert (held.sender, held.recipients[0].direction) == ("", Direction.INBOUND)
    assert lab.undelivered("forged@school.example")


def test_ten_mebibytes_go_out_and_one_byte_more_does_not(lab: PostfixLab) -> None:
    """The decoded size decides, and the refusal is the policy's sentence rather than Postfix's."""
    fits, too_large = (clean(f"{size} bytes", attachments={"a.jpg": photo(size)}) for size in (LIMIT, LIMIT + 1))
    lab.submit(fits, to=["large@family.example"], login=TEACHER)
    assert lab.arrives("large@family.example")
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        lab.submit(too_large, to=["larger@family.example"], login=TEACHER)
    assert refused.value.smtp_code == 552
    assert "5.3.4 An attachment is larger than" in str(refused.value)
    assert lab.undelivered("larger@family.example")


def test_mail_from_a_program_on_the_server_is_judged_too(lab: PostfixLab) -> None:
    """The sendmail command goes through non_smtpd_milters."""
    lab.postfix.sendmail(
        infected("From cron").replace(b"\r\n", b"\n"), "-f", "root@school.example", "cron@school.example"
    )
    lab.arrives("cron@school.example")
    (held,) = lab.held("From cron")
    assert held.recipients[0].state is State.HELD
    assert all(b"Auto-Submitted" in each.content for each in lab.mailboxes.of("cron@school.example"))


def test_released_mail_arrives_as_it_was_sent(lab: PostfixLab) -> None:
    """With one Received field that tells the original client, above nothing but the message itself."""
    content = infected("To be released")
    lab.inbound(content, to=["patient@school.example"])
    (held,) = lab.held("To be released")
    lab.arrives("patient@school.example")
    lab.release(held)
    _, released = lab.arrives("patient@school.example", count=2)
    assert as_sent(released.content) == content
    assert released.sender == OUTSIDER
