"""The three places where gatepost can stand, each with its shipped settings and Postfix lines.

A cloud's hosts are played with XCLIENT, which gives a client on loopback another address, and with a certificate
of our own making, since nobody but Microsoft has Microsoft's.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.mails import clean, infected
from support.postfix import PATIENCE, PostfixLab, deliver, parameters_in, postfix_lab

from gatepost_config.documents import load_settings
from gatepost_config.settings import Settings
from gatepost_config.words import Direction

TOPOLOGIES = Path(__file__).resolve().parents[2] / "config" / "topologies"
HEAD = "head@school.example"
OUTSIDE = "friend@family.example"
MICROSOFT, GOOGLE, STRANGER = "40.107.1.2", "209.85.128.7", "203.0.113.9"
CERTIFICATE = "mail.protection.outlook.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A lab that stands as one topology says."""

    lab: PostfixLab
    settings: Settings
    authority: Authority

    @property
    def tenant(self) -> bytes:
        """The right tenant header, as it stands in a message."""
        header = self.settings.trusted_relays[0].tenant_header
        assert header is not None
        return f"{header.name}: {header.value}\r\n".encode()

    def relay(
        self,
        content: bytes,
        *,
        address: str,
        certificate: str = "",
        to: Sequence[str] = (OUTSIDE,),
        sender: str = HEAD,
    ) -> str:
        """Hand a message in from that address, over TLS with a certificate of that name if one is given."""
        with smtplib.SMTP("127.0.0.1", self.lab.postfix.ports.smtp, timeout=PATIENCE * 4) as client:
            client.ehlo()
            if certificate:
                client.starttls(context=self._tls(certificate))
                client.ehlo()
            code, text = client.docmd("XCLIENT", f"ADDR={address} NAME=[UNAVAILABLE]")
            assert code == 220, text
            client.ehlo()
            return deliver(client, content, sender=sender, to=to)

    def _tls(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.check_hostname = False  # we come by address; that Postfix's certificate is ours is still checked
        chain, key = self.authority.issue(name)
        context.load_cert_chain(chain, key)
        return context


@contextmanager
def place(topology: str, home: Path, *, logins: Sequence[str] = ()) -> Iterator[Place]:
    """The lab with the settings and the Postfix lines of one topology."""
    settings = load_settings(TOPOLOGIES / topology / "gatepost.yaml")
    overrides: Mapping[str, Any] = settings.model_dump(
        mode="json", include={"school", "policy", "trusted_relays"}, exclude_none=True
    )
    authority = Authority(home)
    chain, key = authority.issue("gateway.school.example")
    parameters = parameters_in(TOPOLOGIES / topology / "main.cf") | {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": str(chain),
        "smtpd_tls_key_file": str(key),
    }
    if "smtpd_tls_CAfile" in parameters:
        parameters["smtpd_tls_CAfile"] = str(authority.certificate)
    with postfix_lab(
        domains=settings.school.domains, logins=logins, settings=parameters, overrides=overrides
    ) as lab:
        yield Place(lab=lab, settings=settings, authority=authority)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everybody logs in."""
    with place("own-postfix", tmp_path_factory.mktemp("own"), logins=[HEAD]) as made:
        yield made


@pytest.fixture(scope="module")
def microsoft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Mailboxes in Microsoft 365."""
    with place("microsoft-365", tmp_path_factory.mktemp("microsoft")) as made:
        yield made


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Mailboxes in Google Workspace."""
    with place("google-workspace", tmp_path_factory.mktemp("google")) as made:
        yield made


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Some log in here, the others are in Microsoft 365."""
    with place("both", tmp_path_factory.mktemp("both"), logins=[HEAD]) as made:
        yield made


def known(place: Place, subject: str) -> tuple[str, list[Direction]]:
    """Who a held message is from, and which ways it was to go."""
    (held,) = place.lab.held(subject)
    return held.sender, [each.direction for each in held.recipients]


PROVED = (HEAD, [Direction.OUTBOUND])
NOBODY = ("", [Direction.INBOUND])


def test_at_the_schools_own_postfix_a_login_is_the_sender(own: Place) -> None:
    """And is told what became of the message."""
    own.lab.submit(infected("With a login"), to=[OUTSIDE], login=HEAD)
    assert known(own, "With a login") == PROVED
    assert own.lab.arrives(HEAD)
    assert own.lab.undelivered(OUTSIDE)


def test_at_the_schools_own_postfix_no_address_and_no_header_proves_anything(own: Place) -> None:
    """Not even that of Microsoft: there is no relay to be trusted."""
    own.relay(infected("No login"), address=MICROSOFT, to=["victim@school.example"])
    assert known(own, "No login") == NOBODY
    with pytest.raises(smtplib.SMTPResponseException, match="Relay access denied"):
        own.relay(infected("No login"), address=MICROSOFT)


def test_in_microsoft_365_all_marks_together_prove_the_sender(microsoft: Place) -> None:
    """The connector's network, Microsoft's certificate, and the school's header."""
    content = microsoft.tenant + infected("All marks")
    microsoft.relay(content, address=MICROSOFT, certificate=CERTIFICATE)
    assert known(microsoft, "All marks") == PROVED
    assert microsoft.lab.arrives(HEAD)


FORGERIES: Mapping[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "missing": (lambda _: b"", MICROSOFT, CERTIFICATE),
    "forged": (lambda right: right.replace(b": ", b": x"), MICROSOFT, CERTIFICATE),
    "in capitals": (lambda right: right[:18] + right[18:].upper(), MICROSOFT, CERTIFICATE),
    "twice": (lambda right: right + right, MICROSOFT, CERTIFICATE),
    "beside a forged one": (lambda right: right + b"x-gatepost-tenant: x\r\n", MICROSOFT, CERTIFICATE),
    "another certificate": (lambda right: right, MICROSOFT, "mail.protection.evil.example"),
    "no certificate": (lambda right: right, MICROSOFT, ""),
    "another network": (lambda right: right, STRANGER, CERTIFICATE),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_in_microsoft_365_a_mark_less_proves_nothing(microsoft: Place, forgery: str) -> None:
    """Other tenants have the first two marks too: their mail is inbound, and nobody hears from us."""
    header, address, certificate = FORGERIES[forgery]
    subject, told = f"Forged: {forgery}", f"told.{forgery.replace(' ', '.')}@school.example"
    to = [OUTSIDE] if address == MICROSOFT else ["victim@school.example"]
    content = header(microsoft.tenant) + infected(subject)
    microsoft.relay(content, address=address, certificate=certificate, to=to, sender=told)
    assert known(microsoft, subject) == NOBODY
    assert microsoft.lab.undelivered(told)


def test_in_microsoft_365_a_folded_header_is_the_same_header(microsoft: Place) -> None:
    """Servers on the way may fold a long field (RFC 5322 section 2.2.3)."""
    folded = microsoft.tenant.replace(b": ", b":\r\n\t")
    microsoft.relay(folded + infected("Folded"), address=MICROSOFT, certificate=CERTIFICATE)
    assert known(microsoft, "Folded") == PROVED


def test_the_tenant_header_never_leaves_the_school(microsoft: Place) -> None:
    """Its value is a password: neither what passes nor what is released may carry it."""
    passes, released = "secret.passes@family.example", "secret.released@family.example"
    for to, content in ((passes, clean("Secret passes")), (released, infected("Secret released"))):
        microsoft.relay(microsoft.tenant + content, address=MICROSOFT, certificate=CERTIFICATE, to=[to])
    (held,) = microsoft.lab.held("Secret released")
    microsoft.lab.release(held)
    for to in (passes, released):
        (delivery,) = microsoft.lab.arrives(to)
        assert b"Subject: Secret" in delivery.content
        assert b"x-gatepost-tenant" not in delivery.content.lower()


def test_mail_inside_the_school_is_not_believed_where_only_outbound_comes_this_way(microsoft: Place) -> None:
    """`directions: [outbound]`: inside the tenant, mail never passes here."""
    content = microsoft.tenant + infected("Inside")
    microsoft.relay(content, address=MICROSOFT, certificate=CERTIFICATE, to=["pupil@school.example"])
    assert known(microsoft, "Inside") == NOBODY


def test_a_stranger_cannot_send_through_us_from_the_cloud(microsoft: Place) -> None:
    """Postfix lets the cloud's hosts relay only for senders at the school."""
    content = microsoft.tenant + infected("Open relay")
    with pytest.raises(smtplib.SMTPResponseException, match="Relay access denied"):
        microsoft.relay(content, address=MICROSOFT, sender="spammer@other-tenant.example")


def test_in_google_workspace_the_header_from_googles_network_proves_the_sender(google: Place) -> None:
    """Without one of the two the mail is nobody's."""
    google.relay(google.tenant + infected("Google"), address=GOOGLE)
    google.relay(infected("Google, no header"), address=GOOGLE)
    google.relay(google.tenant + infected("Not Google"), address=MICROSOFT, to=["victim@school.example"])
    assert known(google, "Google") == PROVED
    assert known(google, "Google, no header") == NOBODY
    assert known(google, "Not Google") == NOBODY


def test_with_both_each_way_proves_its_senders(both: Place) -> None:
    """Logins here, tenant there, and between the two mail is internal."""
    both.lab.submit(infected("Both: login"), to=[OUTSIDE], login=HEAD)
    content = both.tenant + infected("Both: cloud")
    both.relay(content, address=MICROSOFT, certificate=CERTIFICATE, to=[OUTSIDE, "office@school.example"])
    both.relay(infected("Both: forged"), address=MICROSOFT, certificate=CERTIFICATE, to=["office@school.example"])
    assert known(both, "Both: login") == PROVED
    assert known(both, "Both: cloud") == (HEAD, [Direction.OUTBOUND, Direction.INTERNAL])
    assert known(both, "Both: forged") == NOBODY


def test_enforced_the_relay_rule_refuses_what_nobody_proved(tmp_path: Path) -> None:
    """What README.md of the topologies recommends once the count is zero."""
    policy = tmp_path / "policy.yaml"
    shipped = (TOPOLOGIES.parent / "policies" / "default.yaml").read_text(encoding="utf-8")
    rule = shipped[shipped.index("  - id: relay-without-proof") :]
    enforced = shipped.replace(rule, rule.replace("mode: monitor", "mode: enforce").partition("\ntests:")[0])
    policy.write_text(enforced, encoding="utf-8")
    settings = load_settings(TOPOLOGIES / "google-workspace" / "gatepost.yaml")
    overrides = settings.model_dump(mode="json", include={"school", "trusted_relays"}, exclude_none=True)
    with postfix_lab(
        domains=settings.school.domains,
        settings=parameters_in(TOPOLOGIES / "google-workspace" / "main.cf"),
        overrides=overrides | {"policy": str(policy)},
    ) as lab:
        strict = Place(lab=lab, settings=settings, authority=Authority(tmp_path))
        with pytest.raises(smtplib.SMTPResponseException, match=r"5\.7\.1 Nothing proves"):
            strict.relay(clean("Unproved"), address=GOOGLE)
        strict.relay(strict.tenant + infected("Proved"), address=GOOGLE)
        assert known(strict, "Proved") == PROVED
