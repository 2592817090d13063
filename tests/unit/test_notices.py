"""What gatepost writes itself: nothing answers it, it tells nobody too much, and anybody can read it."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.quarantine import explanation, finding, held, notice, recipient

from gatepost_config.settings import Notices, School, Settings
from gatepost_config.words import Action, Direction, Evidence, Outcome
from gatepost_quarantine import notices
from gatepost_quarantine.held import Notice, NoticeKind
from gatepost_quarantine.notices import NoticeError

NOW = datetime(2026, 11, 20, 9, 1, tzinfo=UTC)
TEACHER = "teacher@school.example"


EXPLAINED = [kind for kind in NoticeKind if kind not in (NoticeKind.REPORT, NoticeKind.DIGEST)]
"""The kinds that are written from one explanation; a report is written in lines, a digest from several."""


def settings(**changes: Any) -> Settings:
    """The settings of a school with a mailbox for IT Support."""
    values: dict[str, Any] = {
        "school": School(name="King’s College School", domains=["school.example"]),
        "gateway": "mx1.school.example",
        "roles": {"it-support": ["it.support@school.example"]},
    }
    return Settings(**{**values, **changes})


def owed(kind: NoticeKind = NoticeKind.HELD_SENDER, *, to: str = TEACHER, **context: Any) -> Notice:
    """A notice as the gate owes it."""
    values: dict[str, Any] = {
        "explanation": explanation([TEACHER]).to_json(),
        "subject": "Invoice",
        "date": "Fri, 20 Nov 2026 09:00:00 +0000",
        "sender": "sales@supplier.example",
        "recipients": [TEACHER],
        "message_id": "<invoice-1@supplier.example>",
    }
    return notice(to, kind=kind, held_id="k7m2xw9hqtbd3vfp", context={**values, **context})


def rendered(note: Notice, **changes: Any) -> EmailMessage:
    """The notice, parsed again."""
    raw = notices.render(note, settings=settings(**changes), now=NOW)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    return email.message_from_bytes(raw, policy=default)


def text(message: EmailMessage) -> str:
    """The plain text."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def html(message: EmailMessage) -> str:
    """The HTML."""
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def words(value: str) -> str:
    """Text on one line."""
    return " ".join(value.split())


class Shown(HTMLParser):
    """What a person sees of HTML, and which elements make it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.seen = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.seen += f" {data}"


@pytest.mark.parametrize("kind", EXPLAINED)
def test_nothing_answers_a_notice(kind: NoticeKind) -> None:
    """RFC 3834: the fields that keep automatic answers away, and threading to the message it speaks of."""
    message = rendered(owed(kind))
    own = ("warning", "held-sender", "denied", "released", "expired")
    answers = kind.value in own
    assert message["Auto-Submitted"] == ("auto-replied" if answers else "auto-generated")
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["In-Reply-To"] == message["References"] == "<invoice-1@supplier.example>"
    assert message["From"].addresses[0].addr_spec == "postmaster@school.example"
    assert message["Reply-To"] == "it.support@school.example"
    assert message["To"] == TEACHER
    assert message["Date"].datetime == NOW
    assert message["Subject"].startswith("Auto: ")
    assert message["Subject"].endswith(": Invoice")
    assert message["Content-Language"] == "en-GB"
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version"):
        assert len(message.get_all(name, [])) == 1, name


@pytest.mark.parametrize("kind", EXPLAINED)
def test_every_kind_says_what_why_and_what_now(kind: NoticeKind) -> None:
    """Both versions name the clause, what was found, what happens, what to do, and where help is."""
    message = rendered(owed(kind, told="Use the portal." if kind is NoticeKind.DENIED else ""))
    for version in (words(text(message)), words(Shown(html(message)).seen)):
        for said in (
            "KCS 2.6",
            "executable-attachment",
            "part 2 › invoice.zip › setup.exe",
            "is a Windows program",
            "it.support@school.example",
            "7KQ-2MX",
            "King’s College School",
        ):
            assert said in version, said
        for heading in ("why", "what happens now", "what to do", "help"):
            assert heading in version.lower()
        assert ("Use the portal." in version) is (kind is NoticeKind.DENIED)
    assert "{" not in text(message)
    assert "None" not in text(message)


def test_the_plain_text_is_readable_anywhere() -> None:
    """Lines that no mail program has to break."""
    assert all(len(line) <= 72 for line in text(rendered(owed())).splitlines())


def test_the_html_is_plain_and_loads_nothing() -> None:
    """For telephones and screen readers: a language, a title, one heading, and nothing from elsewhere."""
    shown = Shown(html(rendered(owed())))
    assert shown.tags.count("h1") == 1
    assert ("lang", "en-GB") in shown.attributes
    assert "title" in shown.tags
    assert not {"img", "script", "iframe", "table", "link", "a", "form"} & set(shown.tags)
    assert not [value for name, value in shown.attributes if name in ("src", "href", "style")]


# What must not get in


@pytest.mark.parametrize(
    "subject",
    [
        "a\r\nBcc: victim@school.example",
        "a\nX-Evil: 1\n\nbody",
        "\x1b[31mred\x07",
        "\u202egpj.exe",
        "=?utf-8?q?=0D=0ABcc:_victim@school.example?=",
        "x" * 5000,
        "\udc80\ud800",
        "„Ausflug“ 🎒 " * 30,
        "",
    ],
)
def test_a_hostile_subject_stays_a_subject(subject: str) -> None:
    """Sanitised, capped and encoded: no new field, no control, and nothing a terminal would act on."""
    message = rendered(owed(subject=subject))
    assert set(message.keys()) == {
        "Message-ID",
        "In-Reply-To",
        "References",
        "From",
        "To",
        "Reply-To",
        "Subject",
        "Date",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
        "Content-Language",
    }
    assert len(message["Subject"]) <= 120
    assert all(letter.isprintable() for letter in message["Subject"])
    assert message["Bcc"] is None
    assert "\x1b" not in text(message) + html(message)
    assert "\u202e" not in text(message) + html(message)


@pytest.mark.parametrize(
    "message_id",
    [
        "",
        "no brackets",
        "<a b@c>",
        "<a@b>\r\nBcc: x@y",
        "<" + "a" * 400 + "@b>",
        "<a@b> <c@d>",
        "<ä@b>",
        "<a<b>@c>",
    ],
)
def test_a_bad_message_id_is_left_out(message_id: str) -> None:
    """Threading is a courtesy; a forged field is not."""
    message = rendered(owed(message_id=message_id))
    assert message["In-Reply-To"] is None
    assert message["Bcc"] is None


def test_a_long_message_id_is_neither_folded_nor_encoded() -> None:
    """Exchange makes them longer than a line; broken, the notice would not be filed with its message."""
    long = f"<{'A' * 200}@prod.outlook.example>"
    raw = notices.render(owed(message_id=long), settings=settings(), now=NOW)
    assert f"\r\nIn-Reply-To: {long}\r\nReferences: {long}\r\n".encode() in raw


def test_html_in_a_message_is_text_in_the_notice() -> None:
    """File names and subjects are the attacker's to choose."""
    evil = '"><img src=//evil.example onerror=alert(1)>&'
    bad = finding([TEACHER], evidence=(Evidence(kind="attachment", name=evil, where=evil),), say=evil, mend=evil)
    note = owed(
        NoticeKind.ROLE,
        subject=evil,
        sender=evil,
        recipients=[evil],
        date=evil,
        told=evil,
        explanation=explanation([TEACHER], findings=(bad,), support_id=evil).to_json(),
    )
    shown = Shown(html(rendered(note)))
    assert "img" not in shown.tags
    assert shown.seen.count("onerror") >= 8


def test_private_evidence_is_never_told() -> None:
    """A detected password or identifier is not repeated, even if the context still had it."""
    secret = Evidence(kind="text", name="Blue7Whale", where="part 1", private=True)
    telling = explanation([TEACHER], findings=(finding([TEACHER], evidence=(secret,)),))
    raw = notices.render(owed(explanation=telling.to_json()), settings=settings(), now=NOW)
    assert b"Blue7Whale" not in raw


def test_a_notice_names_only_the_recipients_it_was_given() -> None:
    """The sender sees who is held and who has it; others see what everybody could see."""
    mixed = explanation(
        [TEACHER],
        outcomes=(
            Outcome(recipient=TEACHER, direction=Direction.INTERNAL, action=Action.QUARANTINE),
            Outcome(recipient="parent@elsewhere.example", direction=Direction.OUTBOUND, action=Action.PASS),
        ),
    ).to_json()
    to_sender = words(text(rendered(owed(explanation=mixed))))
    assert "delivered to some of its recipients" in to_sender
    assert f"Held for: {TEACHER} Delivered to: parent@elsewhere.example" in to_sender
    to_role = text(rendered(owed(NoticeKind.ROLE, explanation=mixed)))
    assert "parent@elsewhere.example" not in to_role


def test_only_what_held_the_message_is_told_of_a_hold() -> None:
    """One mail, without the warnings that did not matter in the end, and nothing that is only tagged."""
    reasons = (
        finding([TEACHER]),
        finding([TEACHER], rule="only-a-warning", actions={TEACHER: Action.WARN}),
        finding([TEACHER], rule="only-a-tag", actions={TEACHER: Action.TAG}),
    )
    found = explanation([TEACHER], findings=reasons).to_json()
    assert "only-a" not in text(rendered(owed(explanation=found)))
    warning = text(rendered(owed(NoticeKind.WARNING, explanation=found)))
    assert "only-a-warning" in warning
    assert "only-a-tag" not in warning


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("Fri, 10 Jul 2026 09:00:00 +0000", "Friday 10 July 2026, 10:00"),
        ("Fri, 20 Nov 2026 23:30:00 -0800", "Saturday 21 November 2026, 07:30"),
        ("yesterday", "yesterday"),
        ("Fri, 20 Nov 2026 09:00:00 +9999", "Fri, 20 Nov 2026 09:00:00 +9999"),
    ],
)
def test_the_date_is_told_in_the_schools_own_time(field: str, shown: str) -> None:
    """As a person in school would say it; what is no date stands as it came."""
    assert f"Date: {shown}" in text(rendered(owed(date=field)))


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,9} Nov \d{1,9} \d+:\d+(:\d+)? [+-]\d{1,9}"))
def test_no_date_keeps_a_notice_from_being_written(field: str) -> None:
    """The field is the sender's, who may write anything."""
    assert rendered(owed(date=field))["Subject"]


def test_what_was_released_needs_no_mending() -> None:
    """The sender has nothing left to do."""
    help_words = words(finding([TEACHER]).mend)
    assert help_words in words(text(rendered(owed(NoticeKind.DENIED))))
    assert help_words not in words(text(rendered(owed(NoticeKind.RELEASED))))


def test_many_findings_do_not_make_an_endless_mail() -> None:
    """A newsletter to a thousand parents must not be a list of a thousand parents."""
    crowd = tuple(Evidence(kind="address", name=f"p{number}@x.example", where="To") for number in range(1000))
    found = explanation([TEACHER], findings=(finding([TEACHER], evidence=crowd),)).to_json()
    said = text(rendered(owed(explanation=found)))
    assert "and 980 more" in said
    assert len(said) < 5000


# Whom, and from whom


def test_the_addresses_may_be_set() -> None:
    """A school may want its own words in From and another place for answers."""
    chosen = Notices(sender="mail@school.example", help="helpdesk@school.example")
    message = rendered(owed(), notices=chosen)
    assert message["From"].addresses[0].addr_spec == "mail@school.example"
    assert message["Reply-To"] == "helpdesk@school.example"
    assert "helpdesk@school.example" in text(message)


def test_without_it_support_answers_go_to_the_postmaster() -> None:
    """There is always somebody to write to."""
    message = rendered(owed(), roles={})
    assert message["Reply-To"] is None
    assert "postmaster@school.example" in text(message)


@pytest.mark.parametrize("to", ["zoë@school.example", '"a b"@school.example', "o'brien+x@school.example"])
def test_unusual_addressees_are_written_as_they_are(to: str) -> None:
    """International ones in UTF-8 (RFC 6532): encoded words are no addresses."""
    raw = notices.render(owed(to=to), settings=settings(), now=NOW)
    assert raw.count(f"\r\nTo: {to}\r\n".encode()) == 1
    assert raw.count(b"\r\nTo:") == 1


@pytest.mark.parametrize("to", ["", "nobody", "a@b\r\nBcc: c@d", "@school.example", "a@b, c@d", "x <a@b>"])
def test_a_bad_addressee_is_an_error(to: str) -> None:
    """The courier keeps it and says so."""
    with pytest.raises(NoticeError):
        notices.render(owed(to=to), settings=settings(), now=NOW)


@pytest.mark.parametrize("context", [{}, {"explanation": None}, {"explanation": {"findings": "x"}}])
def test_a_context_that_cannot_be_read_is_an_error(context: dict[str, Any]) -> None:
    """Not an exception that ends the courier."""
    with pytest.raises(NoticeError):
        notices.render(notice(context=context), settings=settings(), now=NOW)


def test_the_same_notice_is_the_same_mail() -> None:
    """Boundary and Message-ID do not change with the weather."""
    note = owed()
    assert notices.render(note, settings=settings(), now=NOW) == notices.render(note, settings=settings(), now=NOW)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("ann@school.example", True),
        ("ann.request@school.example", True),
        ("", False),
        ("MAILER-DAEMON@school.example", False),
        ("Postmaster@school.example", False),
        ("owner-staff@school.example", False),
        ("staff-request@school.example", False),
        ("no-reply@school.example", False),
        ("DoNotReply@school.example", False),
        ("staff-bounces@school.example", False),
    ],
)
def test_robots_are_not_answered(address: str, may: bool) -> None:
    """RFC 3834 section 2, and what lists and machines are usually called."""
    assert notices.answerable(address) is may


# A refusal by a reviewer


def test_a_known_sender_is_told_of_a_refusal() -> None:
    """Without any recipient's address, because who was hidden is not known any more."""
    message = held(sender="ann@school.example", recipients=[recipient(TEACHER), recipient("bcc@school.example")])
    (note,) = notices.denied(message, gateway="mx1.school.example", told="Use the portal.")
    raw = notices.render(note, settings=settings(), now=NOW).decode()
    assert note.to == "ann@school.example"
    assert "Use the portal." in text(email.message_from_string(raw, policy=default))
    assert not re.search("bcc@|teacher@", raw + str(note.context))


def test_a_refusal_for_some_says_so() -> None:
    """The others may have it already."""
    message = held(sender="ann@school.example", recipients=[recipient(TEACHER), recipient("head@school.example")])
    (note,) = notices.denied(message, gateway="mx1.school.example", recipients=[TEACHER])
    assert "to some of its recipients" in words(text(rendered(note)))
    (note,) = notices.denied(message, gateway="mx1.school.example")
    assert "to some of its recipients" not in words(text(rendered(note)))


@pytest.mark.parametrize("sender", ["", "no-reply@school.example"])
def test_an_unknown_sender_is_never_told(sender: str) -> None:
    """Whoever is in From of mail from outside may have nothing to do with it (backscatter)."""
    assert notices.denied(held(sender=sender), gateway="mx1.school.example") == ()
