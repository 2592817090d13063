"""The lab itself: before it judges gatepost, it must be a mail system that works without it."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest
from support.postfix import PostfixLab, deliver, postfix_lab

from gatepost_milter.demo.logins import PASSWORD

TEACHER = "t.teacher@school.example"
LETTER = b"From: a@outside.example\r\nTo: x@school.example\r\nSubject: Hello\r\n\r\nA letter.\r\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """Postfix without any milter."""
    with postfix_lab(
        gateway=False, logins=[TEACHER], aliases={"all@school.example": ["a1@school.example"]}
    ) as made:
        yield made


def test_mail_from_outside_reaches_the_school(lab: PostfixLab) -> None:
    """Through the listener that stands for port 25."""
    lab.inbound(LETTER, to=["from.outside@school.example"])
    (delivery,) = lab.arrives("from.outside@school.example")
    assert delivery.content.endswith(LETTER)


def test_mail_from_outside_is_not_relayed(lab: PostfixLab) -> None:
    """The lab would prove little if it were an open relay."""
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        lab.inbound(LETTER, to=["somebody@elsewhere.example"])
    assert refused.value.smtp_code == 554


def test_a_login_sends_outside(lab: PostfixLab) -> None:
    """A real SASL login at the submission port."""
    lab.submit(LETTER, to=["parent@family.example"], login=TEACHER)
    assert lab.arrives("parent@family.example")


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_refused(lab: PostfixLab, password: str) -> None:
    """A login server that lets everybody in would make every story about logins worthless."""
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.submission) as client:
        client.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(TEACHER, password)


def test_nobody_submits_without_a_login(lab: PostfixLab) -> None:
    """Not even to the school itself."""
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.submission) as client:
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            deliver(client, LETTER, sender=TEACHER, to=["x@school.example"])
        assert refused.value.smtp_code == 554
        client.rset()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("nobody@school.example", PASSWORD)


def test_an_alias_is_expanded(lab: PostfixLab) -> None:
    """Aliases expand after the milters, as on a real gateway."""
    lab.inbound(LETTER, to=["all@school.example"])
    assert lab.arrives("a1@school.example")


def test_the_release_listener_changes_nothing(lab: PostfixLab) -> None:
    """Fields without Date and Message-Id, 8-bit text and odd spacing leave as they came (config/postfix)."""
    content = b"from:  t.teacher\r\nSubject:\tGr\xfc\xdfe\r\nX-Empty:\r\nTo: y\r\n   z\r\n\r\n\xff8-bit\r\n"
    for port, to in (
        (lab.postfix.ports.inbound, "released@school.example"),
        (lab.postfix.ports.outbound, "released@family.example"),
    ):
        with smtplib.SMTP("127.0.0.1", port) as client:
            deliver(client, content, sender="a@outside.example", to=[to], options=["BODY=8BITMIME"])
        (delivery,) = lab.arrives(to)
        _, _, below = delivery.content.partition(b"\r\nfrom:")
        assert b"from:" + below == content


def test_a_program_on_the_server_can_send(lab: PostfixLab) -> None:
    """Mail through the sendmail command, which has its own set of milters."""
    lab.postfix.sendmail(b"Subject: From cron\n\nDone.\n", "-f", "root@school.example", "local@school.example")
    (delivery,) = lab.arrives("local@school.example")
    assert b"Subject: From cron" in delivery.content
