"""Mail that is not plain English of a few kilobytes: other alphabets, 8-bit fields, large files."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from support.mails import as_sent, clean
from support.postfix import PostfixLab, deliver, postfix_lab

from gatepost_milter.demo.samples import photo, program, zipped

TEACHER = "t.teacher@school.example"


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """A school with the default policy."""
    with postfix_lab(logins=[TEACHER]) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("latin", b"Subject: Gr\xfc\xdfe aus K\xf6ln\r\nFrom: M\xfcller <someone@outside.example>\r\n"),
        ("utf8", "Subject: Grüße, 你好\r\nFrom: Müller <someone@outside.example>\r\n".encode()),
        (
            "odd",
            b"Subject:\tno\x80 space\r\nX-Empty:\r\nX-Folded: a\r\n\tb\r\n   c\r\nFrom:   a@outside.example\r\n",
        ),
        (
            "bad",
            b"Subject: =?utf-8?b?////?= \xff\xfe\r\nFrom: \xe2\x28\xa1 <a@outside.example>\r\nTo: \xff@\xff\r\n",
        ),
    ],
)
def test_eight_bit_fields_pass_unchanged(lab: PostfixLab, name: str, header: bytes) -> None:
    """The world is full of them, and none may cost a school a letter."""
    content = header + b"Message-ID: <" + name.encode() + b"@outside.example>\r\n\r\nGr\xfc\xdfe\r\n"
    lab.inbound(content, to=[f"{name}@school.example"], options=["BODY=8BITMIME"])
    (delivery,) = lab.arrives(f"{name}@school.example")
    assert as_sent(delivery.content) == content


def test_a_nul_hides_no_name_from_us(lab: PostfixLab) -> None:
    """A milter is told a field up to its first NUL only, so Postfix is told to take NULs out before."""
    content = (
        b"From: someone@outside.example\r\nTo: nul@school.example\r\nSubject: A NUL\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: application/octet-stream\r\n"
        b'Content-Disposition: attachment; filename="notes.txt\0.scr"\r\n'
        b"Message-ID: <nul@outside.example>\r\n\r\nOnly words\r\n"
    )
    lab.inbound(content, to=["nul@school.example"])
    (held,) = lab.held("A NUL")
    assert [each["name"] for each in held.attachments] == ["notes.txt.scr"]


def test_addresses_in_other_alphabets(lab: PostfixLab) -> None:
    """SMTPUTF8 (RFC 6531): a clean letter arrives, a program is held under the address as it was given."""
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp) as client:
        for subject, attachments in (
            ("Ein Gruß", {}),
            ("Ein Programm", {"grüße.zip": zipped({"ü.exe": program()})}),
        ):
            letter = _utf8_letter(subject, attachments)
            deliver(
                client,
                letter,
                sender="jürgen@outside.example",
                to=["frau.müller@school.example"],
                options=["SMTPUTF8", "BODY=8BITMIME"],
            )
            if not attachments:
                (delivery, *_) = lab.arrives("frau.müller@school.example")
                assert as_sent(delivery.content) == letter
    (held,) = lab.held("Ein Programm")
    assert held.envelope.sender == "jürgen@outside.example"
    assert [each.address for each in held.recipients] == ["frau.müller@school.example"]
    assert "SMTPUTF8" in held.envelope.sender_parameters


def _utf8_letter(subject: str, attachments: dict[str, bytes]) -> bytes:
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = "Jürgen <jürgen@outside.example>"
    message["To"] = "frau.müller@school.example"
    message["Subject"] = subject
    message["Message-ID"] = f"<{len(subject)}@outside.example>"
    message["Date"] = "Mon, 02 Nov 2026 08:30:00 +0000"
    message.set_content("Grüße\n", cte="8bit")
    for name, data in attachments.items():
        message.add_attachment(data, maintype="application", subtype="zip", filename=name)
    return message.as_bytes()


@pytest.mark.slow
def test_fifty_megabytes(lab: PostfixLab) -> None:
    """From outside no limit but Postfix's own holds; the mail is spooled, inspected, and delivered whole."""
    with postfix_lab(settings={"message_size_limit": "60000000"}) as wide:
        content = clean("Large", attachments={"film.jpg": photo(37_000_000)})
        assert len(content) > 50_000_000
        wide.inbound(content, to=["large@school.example"])
        (delivery,) = wide.arrives("large@school.example")
    _, _, body = delivery.content.partition(b"\r\n\r\n")
    assert body == content.partition(b"\r\n\r\n")[2]
    assert b"X-Gatepost-Tag: attachment-too-large" in delivery.content
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        lab.inbound(content, to=["large@school.example"], options=[f"SIZE={len(content)}"])
    assert refused.value.smtp_code == 552
