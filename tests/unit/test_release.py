"""A release is the message as it was sent: one Received field above it, and nothing else different."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Sequence
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from support.quarantine import MESSAGE, chunks, held, recipient
from support.smtp import Sink

from gatepost_config.settings import Courier as CourierSettings
from gatepost_config.settings import School, Settings
from gatepost_quarantine import release
from gatepost_quarantine.courier import Courier
from gatepost_quarantine.held import Envelope, HeldMessage
from gatepost_quarantine.smtp import stuffed
from gatepost_quarantine.sql import SqlStore

FOLDED = (
    b"From:\tSupplier\r\n\t<sales@supplier.example>\r\n"
    b"To:  teacher@school.example  \r\n"
    b"Subject: a\r\n  very\r\n\toddly  folded\r\n subject\r\n"
    b"X-Empty:\r\n"
    b"\r\n"
    b".\r\n..\r\n.dot\r\n\r\n\ttabs \t and trailing spaces   \r\n\r\n\r\n"
)
EIGHT_BIT = (
    b"From: sales@supplier.example\r\nTo: teacher@school.example\r\nSubject: Gr\xfc\xdfe \xff\r\n\r\n"
    b"Latin \xe9\xe8, raw \x00\x01\x7f bytes, and a long line " + b"\xf1" * 900 + b"\r\n"
)
INTERNATIONAL = (
    "From: Zoë <zoë@bücher.example>\r\nTo: teacher@school.example\r\nSubject: 🎒 „Ausflug“\r\n\r\nGrüße\r\n"
).encode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """A key to sign with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed(message: bytes, key: rsa.RSAPrivateKey, *, canonical: bytes) -> bytes:
    """The message under a DKIM signature over its header and all of its body."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    header, body = canonical.split(b"/")
    names = [line.split(b":")[0].strip() for line in re.split(rb"\r\n(?![ \t])", message.split(b"\r\n\r\n")[0])]
    signature: bytes = dkim.sign(
        message, b"s1", b"supplier.example", pem, canonicalize=(header, body), include_headers=names
    )
    return signature + message


def verifies(message: bytes, key: rsa.RSAPrivateKey) -> bool:
    """Whether the signature is good, by a DNS that knows one key."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + _base64(der)

    def dns(_name: bytes, timeout: int = 5) -> bytes:
        return record

    return bool(dkim.verify(message, dnsfunc=dns))


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)


def send_all(store: SqlStore, sink: Sink) -> None:
    """Let a courier work until nothing is owed."""
    settings = Settings(
        school=School(name="Example School", domains=["school.example"]),
        gateway="mx1.school.example",
        courier=CourierSettings(inbound=sink.address, outbound=sink.address, timeout=10),
    )
    courier = Courier(settings, store, worker="test")
    while courier.work(threading.Event()):
        pass


def released(store: SqlStore, sink: Sink, content: bytes, **changes: Any) -> bytes:
    """What arrives when the content is held and released."""
    message = held(content, **changes)
    store.hold(message, content=chunks(content, size=7))
    store.release(message.id, actor="ann")
    send_all(store, sink)
    assert store.get(message.id).recipients[0].state == "released", store.get(message.id).recipients[0]
    return sink.mails[-1].content


@pytest.mark.parametrize("canonical", [b"simple/simple", b"relaxed/relaxed"])
@pytest.mark.parametrize(
    ("content", "parameters"),
    [
        (MESSAGE, ()),
        (FOLDED, ("BODY=8BITMIME",)),
        (EIGHT_BIT, ("BODY=8BITMIME",)),
        (INTERNATIONAL, ("BODY=8BITMIME", "SMTPUTF8")),
    ],
    ids=["plain", "folded", "8-bit", "smtputf8"],
)
def test_a_signature_survives_hold_and_release(
    store: SqlStore,
    sink: Sink,
    key: rsa.RSAPrivateKey,
    content: bytes,
    parameters: Sequence[str],
    canonical: bytes,
) -> None:
    """Signed, held, released over real SMTP, verified: ``simple`` forgives not one changed byte."""
    message = signed(content, key, canonical=canonical)
    assert verifies(message, key)
    envelope = Envelope(sender="sales@supplier.example", sender_parameters=tuple(parameters), helo="mail")
    arrived = released(store, sink, message, envelope=envelope)
    assert verifies(arrived, key)
    assert arrived.endswith(message)
    assert arrived[: -len(message)].count(b"Received:") == 1


def test_nothing_but_one_received_field_is_added(store: SqlStore, sink: Sink) -> None:
    """The whole difference between what was held and what arrives."""
    arrived = released(store, sink, MESSAGE)
    assert (
        arrived
        == (
            b"Received: from mail.supplier.example (mail.supplier.example [192.0.2.25])\r\n"
            b"    (using TLSv1.3) by mx1.school.example (gatepost) with ESMTPS id\r\n"
            b"    4cXyZ12abc; Fri, 20 Nov 2026 09:00:00 +0000\r\n"
        )
        + MESSAGE
    )


def test_what_breaks_the_standards_arrives_as_it_was(store: SqlStore, sink: Sink) -> None:
    """Repairing is not ours: a space before the colon, no header at all, NUL bytes, no empty line."""
    odd = b"x-CaSe :kept\r\nno colon here\r\n\tfolded\r\n\x00\x80\r\n"
    assert released(store, sink, odd).endswith(b"+0000\r\n" + odd)


@pytest.mark.slow
def test_a_large_message_arrives_whole(store: SqlStore, sink: Sink) -> None:
    """Several stored pieces, cut anywhere, with dots at the start of lines."""
    content = MESSAGE + b"".join(b".%d\r\n..\r\n" % number for number in range(200_000))
    message = held(content)
    store.hold(message, content=chunks(content))
    store.release(message.id, actor="ann")
    send_all(store, sink)
    assert sink.mails[0].content == release.received_field(message) + content


# The Received field

ATTACKS = [
    "evil\r\nBcc: victim@school.example",
    "evil\nSubject: hacked",
    "evil\r\n\r\nA new body",
    "a) by trusted (b",
    "evil\\",
    "a;b",
    "\x00\x7f\udc80",
    "x" * 4000,
    "[192.0.2.1]\r\n.\r\n",
    "\u202emoc.live",
]


def check_field(message: HeldMessage) -> bytes:
    """The rules that every Received field of ours keeps."""
    field = release.received_field(message)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert lines[0].startswith(b"Received: ")
    assert all(line.startswith(b"    ") and line.strip() for line in lines[1:])
    assert all(len(line) <= 78 for line in lines)
    text = b"".join(lines)
    assert all(0x20 <= byte < 0x7F for byte in text)
    assert text.count(b";") == 1
    assert text.count(b"(") == text.count(b")")
    assert field.count(b"\r") == field.count(b"\n") == len(lines)
    return field


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "name", ["helo", "client_name", "client_address", "protocol", "tls_version", "login", "queue_id", "gateway"]
)
def test_what_the_client_said_cannot_leave_its_place(name: str, attack: str) -> None:
    """No new line, no new field, no comment that hides what follows."""
    changes: dict[str, Any] = {name: attack}
    if name in ("queue_id", "gateway"):
        message = held(**changes)
    else:
        facts: dict[str, Any] = {"sender": "", "helo": "h", "client_address": "192.0.2.1", **changes}
        message = held(envelope=Envelope(**facts))
    field = check_field(message)
    assert b"victim@" not in field


@given(st.tuples(*[st.text(max_size=300)] * 7))
def test_any_facts_make_a_field_that_keeps_the_rules(facts: tuple[str, ...]) -> None:
    """Whatever a client can put into HELO, its host name or its login."""
    names = ("helo", "client_name", "client_address", "protocol", "tls_version", "login")
    given_facts: dict[str, Any] = dict(zip(names, facts, strict=False))
    check_field(held(envelope=Envelope(sender="", **given_facts), queue_id=facts[6]))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"protocol": "SMTP"}, "with SMTP"),
        ({"protocol": "ESMTP"}, "with ESMTP "),
        ({"protocol": "ESMTP", "login": "ann"}, "with ESMTPA"),
        ({"protocol": "", "login": "ann", "tls_version": "TLSv1.3"}, "with ESMTPSA"),
        ({"sender_parameters": ("smtputf8",), "tls_version": "TLSv1.3"}, "with UTF8SMTPS"),
        ({"protocol": "LMTP"}, "with LMTP"),
        ({"client_address": "2001:db8::1"}, "(unknown [IPv6:2001:db8::1])"),
        ({"client_address": "IPv6:2001:db8::1", "client_name": "a.example"}, "(a.example [IPv6:2001:db8::1])"),
        ({"helo": "[192.0.2.9]", "client_address": "192.0.2.9"}, "from [192.0.2.9] (unknown [192.0.2.9])"),
    ],
)
def test_the_field_says_what_was_spoken(facts: dict[str, Any], said: str) -> None:
    """RFC 3848 and RFC 6531 names, address literals of RFC 5321 section 4.1.3."""
    field = check_field(held(envelope=Envelope(sender="", **facts)))
    assert said in b" ".join(field.split()).decode()


def test_the_login_name_is_not_shown() -> None:
    """It is half of a password pair, and the message may go to strangers."""
    message = held(envelope=Envelope(sender="", helo="h", login="ann.secret"))
    assert b"ann" not in release.received_field(message)


def test_a_release_is_the_same_whenever_it_is_made() -> None:
    """A resend after a crash must not be another mail."""
    message = held(recipients=[recipient("a@school.example"), recipient("b@school.example")])
    assert release.received_field(message) == release.received_field(message)
    assert release.size(message) == len(b"".join(release.message(message, iter([MESSAGE]))))


# Dots and line ends


def unstuffed(wire: bytes) -> bytes:
    """What a server makes of it (RFC 5321 section 4.5.2)."""
    return re.sub(rb"(?:\A|(?<=\r\n))\.", b"", wire)


@given(st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"\r\n.", b".\r\n", b"\r", b""])), st.integers(1, 5))
def test_stuffing_does_not_depend_on_where_pieces_are_cut(tokens: list[bytes], size: int) -> None:
    """Cut anywhere, even inside CRLF, the wire is the same; a server gets the content back."""
    content = b"".join(tokens)
    wire = b"".join(stuffed(content[start : start + size] for start in range(0, len(content), size)))
    assert wire == b"".join(stuffed([content]))
    end = b"" if not content or content.endswith(b"\n") else b"\r\n"
    if b"\n" not in content.replace(b"\r\n", b""):
        assert unstuffed(wire) == content + end


@given(st.binary(max_size=60), st.integers(1, 7))
def test_no_content_can_end_the_message_early(content: bytes, size: int) -> None:
    """Whatever a lenient server takes for a line: none is a lone dot (SMTP smuggling)."""
    wire = b"".join(stuffed(content[start : start + size] for start in range(0, len(content), size)))
    assert b"." not in [line.removesuffix(b"\r") for line in wire.split(b"\n")]
    assert not re.search(rb"(?<!\r)\n", wire)
    assert wire == b"" or wire.endswith(b"\r\n")
