"""What the notice of a hold offers to the sender who is asked, and how it says so."""

from __future__ import annotations

import email
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from support.quarantine import finding, notice
from support.senders import ANNA, TEACHER, exposed, waiting

from gatepost_config.settings import School, SenderPages, Settings
from gatepost_config.words import Action
from gatepost_quarantine import notices, tokens
from gatepost_quarantine.held import HeldMessage, Notice, NoticeKind
from gatepost_quarantine.notices import Offer
from gatepost_quarantine.offers import of_digest, offer
from gatepost_quarantine.store import NotFoundError
from gatepost_quarantine.tokens import (
    Claim,
    Links,
    ReleaseTokens,
    ReplyAddresses,
    TokenError,
    body_digest,
    content_digest,
)

KEY = b"k" * 32
NOW = datetime(2026, 11, 20, 9, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store that holds these messages."""

    held: Mapping[str, HeldMessage]

    def get(self, held_id: str) -> HeldMessage:
        if held_id not in self.held:
            raise NotFoundError(held_id)
        return self.held[held_id]

    def key(self, name: str) -> bytes:
        return name.encode().ljust(32, b".")


def settings(**pages: Any) -> Settings:
    """A school with sender pages."""
    values = {"public_url": "https://mail.school.example/held", "reply_address": "gatepost@school.example"}
    return Settings(
        school=School(name="Park School", domains=["school.example"]),
        roles={"it-support": ["it@school.example"]},
        sender_pages=SenderPages(**{**values, **pages}),
    )


def told(message: HeldMessage, **changes: Any) -> Notice:
    """The notice of that hold."""
    context = {"explanation": message.explanation.to_json(), "subject": message.subject, "message_id": ""}
    values: dict[str, Any] = {"kind": NoticeKind.HELD_SENDER, "held_id": message.id, "context": context}
    return notice(changes.pop("to", TEACHER), **{**values, **changes})


def offered(message: HeldMessage, *, configured: Settings | None = None, **changes: Any) -> Offer | None:
    """What the notice offers."""
    shelf = Shelf({message.id: message})
    return offer(told(message, **changes), store=shelf, settings=configured or settings())


def rendered(message: HeldMessage, **pages: Any) -> EmailMessage:
    """The notice with its offer, parsed again."""
    configured = settings(**pages)
    made = offered(message, configured=configured)
    raw = notices.render(told(message), settings=configured, now=NOW, offer=made)
    return email.message_from_bytes(raw, policy=default)


def body(message: EmailMessage, kind: str) -> str:
    """Text or HTML on one line."""
    part = message.get_body((kind,))
    assert part is not None
    return " ".join(str(part.get_content()).split())


def test_a_confirm_offers_a_link_and_an_address_that_lead_back_to_it() -> None:
    """Both name the message and its sender, and end on the same day."""
    message = waiting()
    made = offered(message)
    assert made is not None
    assert made.may_send
    assert made.until == message.received_at + timedelta(days=7)
    base, _, token = made.link.rpartition("/")
    assert base == "https://mail.school.example/held"
    links = Links(Shelf({}).key(tokens.LINK_KEY))
    assert links.read(token, now=made.until - timedelta(seconds=1)) == Claim(held_id=message.id, sender=TEACHER)
    addresses = ReplyAddresses(Shelf({}).key(tokens.REPLY_KEY), mailbox="gatepost@school.example")
    assert addresses.is_good(made.reply_to.upper(), message)
    assert len(made.reply_to.partition("@")[0]) <= 64


@pytest.mark.parametrize(
    "message",
    [
        waiting(sender=""),
        waiting(finding([ANNA]), action=Action.QUARANTINE),
        waiting(exposed(actions={ANNA: Action.SEAL}), action=Action.SEAL),
    ],
    ids=["nobody-known", "a-reviewer-decides", "sealed"],
)
def test_nothing_is_offered_where_the_sender_is_not_asked(message: HeldMessage) -> None:
    """A link that can do nothing only confuses."""
    assert offered(message) is None


def test_nothing_is_offered_to_others_or_without_a_way() -> None:
    """Roles and recipients have notices, too; and a school may have no pages."""
    message = waiting()
    assert offered(message, kind=NoticeKind.ROLE) is None
    assert offered(message, to="head@school.example") is None
    assert offered(message, held_id="gone") is None
    assert offered(message, configured=settings(public_url="", reply_address="")) is None
    only_link = offered(message, configured=settings(reply_address=""))
    assert only_link is not None
    assert only_link.reply_to == ""


def test_the_notice_says_what_the_sender_can_do() -> None:
    """In text and HTML: send anyway, withdraw, ask; by the page or by a reply."""
    sent = rendered(waiting())
    assert str(sent["Reply-To"]).startswith("gatepost+")
    for kind in ("plain", "html"):
        said = body(sent, kind)
        assert "you can send it anyway, and say why" in said
        assert "https://mail.school.example/held/" in said
        assert "Write SEND or WITHDRAW as the first line" in said
        assert "good until 27 November 2026" in said
        assert "or answer this message" not in said


def test_a_digest_says_how_each_message_is_answered() -> None:
    """One mail stands for several: an answer to the digest itself would say nothing about which."""
    mine, reserved = waiting(), waiting(exposed(override="reviewer"))
    shelf = Shelf({each.id: each for each in (mine, reserved)})
    many = notices.digest([told(mine), told(reserved)], gateway="mx1.school.example", owed_at=[NOW, NOW])
    pages = {
        way: body(
            email.message_from_bytes(
                notices.render(
                    many,
                    settings=configured,
                    now=NOW,
                    offers=of_digest(many, store=shelf, settings=configured),
                ),
                policy=default,
            ),
            "plain",
        )
        for way, configured in (("both", settings()), ("mail", settings(public_url="")))
    }
    address = ReplyAddresses(shelf.key(tokens.REPLY_KEY), mailbox="gatepost@school.example").make
    assert f"write to {address(mine)} with SEND or WITHDRAW as the first line" in pages["mail"]
    assert f"write to {address(reserved)} with WITHDRAW as the first line" in pages["mail"]
    assert "https://mail.school.example/held/" in pages["both"]
    assert "as the first line" not in pages["both"]


def test_the_notice_does_not_promise_what_the_sender_may_not() -> None:
    """Where a reviewer has to decide, there is no word of sending."""
    said = body(rendered(waiting(exposed(override="reviewer"))), "plain")
    assert "anyway" not in said
    assert "SEND" not in said
    assert "withdraw it" in said
    bare = rendered(waiting(), public_url="", reply_address="")
    assert str(bare["Reply-To"]) == "it@school.example"
    assert "good until" not in body(bare, "plain")


def test_a_link_is_for_one_message_one_sender_one_purpose_and_not_for_ever() -> None:
    """Whatever else is signed by us, or changed by a letter, is no link."""
    links = Links(KEY)
    good = links.make(Claim(held_id="a" * 32, sender=TEACHER), until=NOW)
    assert links.read(good, now=NOW - timedelta(seconds=1)).held_id == "a" * 32
    other = ReleaseTokens(KEY).make("d", [ANNA], now=NOW)
    changed = ("B" if good[0] == "A" else "A") + good[1:]
    for bad in (
        "",
        "x",
        good[:-1],
        changed,
        other,
        good + "é",
        Links(b"j" * 32).make(Claim(held_id="a", sender=TEACHER), until=NOW),
    ):
        with pytest.raises(TokenError):
            links.read(bad, now=NOW - timedelta(days=1))
    with pytest.raises(TokenError, match="too old"):
        links.read(good, now=NOW)


def test_a_reply_address_is_for_one_message_and_its_sender() -> None:
    """A guessed mark, another message's mark or another sender's is not good."""
    addresses = ReplyAddresses(KEY, mailbox="Gatepost@School.example")
    one, other = waiting(), waiting()
    address = addresses.make(one)
    assert tokens.is_reply_address(address, mailbox="Gatepost@School.example")
    assert one.id.startswith(addresses.held_id(address))
    assert not addresses.is_good(address, other)
    assert not addresses.is_good(address.replace("+", "+x"), one)
    for other_mail in ("gatepost@school.example", address.replace("school.example", "outside.example")):
        assert not tokens.is_reply_address(other_mail, mailbox="gatepost@school.example")


def test_a_reply_address_of_bytes_that_are_no_text_is_nobodys() -> None:
    """An envelope may hold any byte (RFC 6531 does not reach everybody), and comparing must not fail on it."""
    message = waiting()
    addresses = ReplyAddresses(b"k" * 32, mailbox="gatepost@school.example")
    assert not addresses.is_good(addresses.make(message).replace("-", "-\udcff"), message)


def test_a_release_token_is_for_these_bytes_and_these_recipients() -> None:
    """Nothing else passes with it, and not for long."""
    signer = ReleaseTokens(KEY)
    digest = content_digest(b"From: a\r\n\r\n", body_digest([b"one ", b"message"]))
    token = signer.make(digest, ["b@x.example", "a@x.example"], now=NOW)
    read = signer.read(token, {digest}, ["a@x.example", "b@x.example"], now=NOW)
    assert read.until > NOW
    assert read.nonce != signer.read(signer.make(digest, [], now=NOW), {digest}, [], now=NOW).nonce
    for changed in ((digest, ["a@x.example"], NOW), ("0" * 64, ["a@x.example", "b@x.example"], NOW),
                    (digest, ["a@x.example", "b@x.example"], read.until)):  # fmt: skip
        with pytest.raises(TokenError):
            signer.read(token, {changed[0]}, changed[1], now=changed[2])
