"""Who sent a message, and which way it goes: the ground that every verdict stands on."""

from __future__ import annotations

import pytest
from support.mail import settings, transaction

from gatepost_config.directory import Directory, Person
from gatepost_config.settings import TenantHeader, TrustedRelay
from gatepost_config.words import Direction
from gatepost_milter.policy.identity import direction_of, identify, in_school
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.transaction import Client

SETTINGS = settings("school.example", "bücher.example")


@pytest.mark.parametrize(
    ("login", "mailbox"),
    [
        ("teacher", "teacher@school.example"),
        ("Teacher@School.Example", "Teacher@school.example"),
        ("t@xn--bcher-kva.example", "t@xn--bcher-kva.example"),
        ("t@bücher.example", "t@xn--bcher-kva.example"),
        ("teacher@elsewhere.example", ""),
        ("teacher@sub.school.example", ""),
        ("SCHOOL\\teacher", ""),
        ("two words", ""),
        ("@school.example", ""),
        ("a@b@school.example", ""),
        (".teacher", ""),
    ],
)
def test_a_login_without_a_directory(login: str, mailbox: str) -> None:
    """A login that is no address of ours is inside, but nobody is told: the notice could reach a stranger."""
    sender = identify(transaction(login=login), SETTINGS)
    assert mailbox == sender.mailbox
    assert bool(mailbox) is sender.known
    assert sender.via == "login"
    assert Direction.OUTBOUND is direction_of("friend@outside.example", sender, SETTINGS)


def test_the_directory_says_whose_a_login_is() -> None:
    """Logins are often staff numbers."""
    directory = Directory.of(people=[Person(address="t.teacher@school.example", logins=("12345",))])
    sender = identify(transaction(login="12345"), SETTINGS, directory)
    assert sender.mailbox == "t.teacher@school.example"


def test_nobody_is_believed_for_the_envelope_sender_alone() -> None:
    """Anybody on the internet can write MAIL FROM:<head@school.example>."""
    message = transaction("pupil@school.example", sender="head@school.example")
    assert Sender() == identify(message, SETTINGS)
    assert Direction.INBOUND is direction_of("pupil@school.example", Sender(), SETTINGS)
    assert Direction.INBOUND is direction_of("friend@outside.example", Sender(), SETTINGS)


RELAY = TrustedRelay.model_validate(
    {
        "networks": ["198.51.100.0/24", "2001:db8::/32"],
        "tls_name": "mail.cloud.example",
        "tenant_header": TenantHeader(name="X-Tenant", value="park-school"),
    }
)
GOOD = Client(address="198.51.100.7", tls_name="Mail.Cloud.Example")
TENANT = ((b"X-Tenant", b" park-school"),)


def test_a_relay_is_trusted_if_all_that_is_given_matches() -> None:
    """Cloud providers' addresses are shared by all their tenants; only together do the marks prove anything."""
    message = transaction("a@outside.example", sender="head@School.example", client=GOOD, headers=TENANT)
    sender = identify(message, settings(relays=[RELAY]))
    assert Sender(mailbox="head@school.example", known=True, via="relay") == sender


@pytest.mark.parametrize(
    ("client", "headers", "sender"),
    [
        (Client(address="203.0.113.9", tls_name="mail.cloud.example"), TENANT, "head@school.example"),
        (Client(address="", tls_name="mail.cloud.example"), TENANT, "head@school.example"),
        (Client(address="198.51.100.7"), TENANT, "head@school.example"),
        (Client(address="198.51.100.7", tls_name="evil.example"), TENANT, "head@school.example"),
        (GOOD, (), "head@school.example"),
        (GOOD, ((b"X-Tenant", b" other"),), "head@school.example"),
        (GOOD, ((b"X-Tenant", b" PARK-SCHOOL"),), "head@school.example"),
        (GOOD, (*TENANT, (b"x-tenant", b" other")), "head@school.example"),
        (GOOD, (*TENANT, *TENANT), "head@school.example"),
        (GOOD, TENANT, "stranger@outside.example"),
        (GOOD, TENANT, ""),
    ],
    ids=[
        "another-network", "no-address", "no-certificate", "another-certificate", "no-header", "another-tenant",
        "value-in-capitals", "a-second-header", "the-header-twice", "a-sender-from-outside", "a-bounce",
    ],
)  # fmt: skip
def test_a_relay_is_not_trusted_if_anything_is_missing(
    client: Client, headers: tuple[tuple[bytes, bytes], ...], sender: str
) -> None:
    """Each mark alone can be had by an outsider."""
    message = transaction("a@outside.example", sender=sender, client=client, headers=headers)
    assert Sender() == identify(message, settings(relays=[RELAY]))


def test_an_ipv4_client_on_an_ipv6_socket_is_the_same_client() -> None:
    """Postfix may show ::ffff:198.51.100.7."""
    relay = TrustedRelay.model_validate({"networks": ["198.51.100.0/24"]})
    message = transaction("a@b.example", sender="h@school.example", client=Client(address="::ffff:198.51.100.7"))
    assert identify(message, settings(relays=[relay])).known


def test_a_relay_is_believed_only_for_its_directions() -> None:
    """A relay trusted for outbound mail must not be a way to write to colleagues as the Head."""
    relay = TrustedRelay.model_validate({"networks": ["198.51.100.0/24"], "directions": ["outbound"]})
    ours = settings(relays=[relay])
    client = Client(address="198.51.100.7")
    inside = transaction("pupil@school.example", sender="head@school.example", client=client)
    assert Sender() == identify(inside, ours)
    both = transaction("pupil@school.example", "a@outside.example", sender="head@school.example", client=client)
    sender = identify(both, ours)
    assert sender.known
    assert Direction.INBOUND is direction_of("pupil@school.example", sender, ours)
    assert Direction.OUTBOUND is direction_of("a@outside.example", sender, ours)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("a@school.example", True),
        ("a@SCHOOL.EXAMPLE.", True),
        ("a@bücher.example", True),
        ("a@xn--bcher-kva.example", True),
        ("postmaster", True),
        ("a@notschool.example", False),
        ("a@sub.school.example", False),
        ("a@school.example.evil.example", False),
        ("a@[192.0.2.1]", False),
    ],
)
def test_what_is_the_schools(address: str, inside: bool) -> None:
    """A domain counts only as it is listed: a look-alike or a sub-domain may be somebody else's."""
    assert inside is in_school(address, SETTINGS)
