"""Owns identity: who sent a message, and which way it goes for each recipient (DESIGN section 2).

Only a login, or the envelope sender from a trusted relay, says who sent a message. The From header never does:
anybody can write anything there. Whoever is not proved is outside, and is never told anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from gatepost_config.addresses import ascii_domain
from gatepost_config.directory import Directory
from gatepost_config.domains import Domains
from gatepost_config.settings import Settings, TenantHeader, TrustedRelay
from gatepost_config.words import Direction
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.transaction import Transaction


def identify(transaction: Transaction, settings: Settings, directory: Directory | None = None) -> Sender:
    """Who sent the message.

    A login is believed as it stands; the directory says whose it is. Without an entry, a login that is itself
    an address in a school domain is that mailbox, and a bare name is a mailbox of the main domain. Any other
    login (``SCHOOL\\name``, an address elsewhere) is inside, but belongs to nobody whom we could tell.
    """
    login = transaction.client.login.strip()
    if login:
        # Without a day: somebody who has left, but still logs in, is still that person and nobody else.
        person = directory.by_login(login) if directory is not None else None
        mailbox = person.address if person is not None else _own_mailbox(login, settings)
        return Sender(mailbox=mailbox, known=bool(mailbox), via="login")
    claimed = normal_address(transaction.sender.address)
    if not claimed or not in_school(claimed, settings):
        return Sender()
    for relay in settings.trusted_relays:
        if not _matches(relay, transaction):
            continue
        sender = Sender(mailbox=claimed, known=True, via="relay", directions=tuple(relay.directions))
        ways = {direction_of(path.address, sender, settings) for path in transaction.recipients}
        if ways - {Direction.INBOUND}:
            return sender
    return Sender()


def direction_of(recipient: str, sender: Sender, settings: Settings) -> Direction:
    """Which way the message goes for this recipient; from nobody, it is inbound wherever it goes."""
    if not sender.via:
        return Direction.INBOUND
    inside = in_school(recipient, settings)
    direction = Direction.INTERNAL if inside else Direction.OUTBOUND
    return direction if direction in sender.directions else Direction.INBOUND


def in_school(address: str, settings: Settings) -> bool:
    """Whether the address is in one of the school's domains; one without a domain is (Postfix adds ours)."""
    if "@" not in address:
        return True
    return _domains(tuple(settings.school.domains)).is_school(address.rpartition("@")[2])


def normal_address(address: str) -> str:
    """The address with its domain in its ASCII form and lower case; the local part stays as it is."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}@{ascii_domain(domain)}" if at else address.strip()


@lru_cache(maxsize=16)
def _domains(school: tuple[str, ...]) -> Domains:
    return Domains(school=school)


def _own_mailbox(login: str, settings: Settings) -> str:
    local, at, domain = login.rpartition("@")
    if at:
        in_ours = local and in_school(login, settings)
        return f"{local}@{ascii_domain(domain)}" if in_ours and _is_plain(local) else ""
    return f"{login}@{ascii_domain(settings.school.domains[0])}" if _is_plain(login) else ""


def _is_plain(local: str) -> bool:
    """Whether a login can stand as the local part of an address as it is (RFC 5321 Dot-string, or UTF-8)."""
    if not local or local.startswith(".") or local.endswith(".") or ".." in local:
        return False
    return all(letter.isalnum() or letter in "!#$%&'*+-/=?^_`{|}~." for letter in local)


def _matches(relay: TrustedRelay, transaction: Transaction) -> bool:
    """Whether all that is given for the relay holds. A relay for which nothing is given matches nobody."""
    checks = []
    if relay.networks:
        checks.append(_in_networks(transaction.client.address, relay))
    if relay.tls_name:
        checks.append(ascii_domain(transaction.client.tls_name) == ascii_domain(relay.tls_name))
    if relay.tenant_header is not None:
        checks.append(_has_header(transaction.headers, relay.tenant_header))
    return bool(checks) and all(checks)


def _in_networks(address: str, relay: TrustedRelay) -> bool:
    client = _client_address(address)
    return client is not None and any(client in network for network in relay.networks)


def _client_address(address: str) -> IPv4Address | IPv6Address | None:
    """The client's address; an IPv4 one that came over an IPv6 socket (``::ffff:192.0.2.1``) as IPv4."""
    try:
        client = ip_address(address.removeprefix("IPv6:").removeprefix("ipv6:"))
    except ValueError:
        return None
    mapped = client.ipv4_mapped if isinstance(client, IPv6Address) else None
    return mapped or client


def _has_header(headers: Sequence[tuple[bytes, bytes]], wanted: TenantHeader) -> bool:
    """Exactly one field of that name, with exactly that value once unfolded (RFC 5322 section 2.2.3).

    A second field may be an outsider's, whichever of the two is right.
    """
    name = wanted.name.encode().lower()
    values = [b" ".join(value.split()) for field, value in headers if field.strip().lower() == name]
    return values == [wanted.value.encode()]
