"""Owns the judgement of the release listeners (DESIGN section 7): the two ways by which released mail goes out.

A wrong option here loses recipients, changes bytes that were signed, or holds the message again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from gatepost_config.settings import Settings
from gatepost_milter.doctor.diagnosis import Diagnosis, fail, ok, or_ok, skipped, warn
from gatepost_milter.doctor.milters import Likeness, compact, likeness
from gatepost_milter.doctor.postconf import Postfix, Service

_OVERRIDES = ("no_header_body_checks", "no_unknown_recipient_checks")
_LOOPBACK_HOSTS = frozenset({"localhost", "::1"})

# Parameter -> what goes wrong when it is not empty on a release listener.
_EMPTY = {
    "content_filter": "released mail goes through that filter again",
    "smtpd_proxy_filter": "released mail goes through that proxy again",
    "local_header_rewrite_clients": "Postfix rewrites From, To and Cc and adds Date, and signatures break",
    "smtpd_milter_maps": "filters of that table may hold released mail again",
}


def is_release(settings: Settings, service: Service) -> bool:
    """Whether the service listens on a port that is for releases alone; the front door takes all mail."""
    return settings.courier.way == "listeners" and service.port in (
        _port(settings.courier.inbound),
        _port(settings.courier.outbound),
    )


def release_inbound(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """The listener for inbound mail: no filter at all."""
    yield from _release(postfix, settings, "inbound", settings.courier.inbound)


def release_outbound(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """The listener for outbound mail and notices: the DKIM signer and nothing else."""
    yield from _release(postfix, settings, "outbound", settings.courier.outbound)


def release_reach(postfix: Postfix, settings: Settings, firewall: str) -> Iterator[Diagnosis]:
    """What comes through the release listeners is never judged, and any local user can connect to loopback.

    ``firewall`` is the rule set of nftables as text; a rule that names the ports and the socket's owner
    (``skuid``) closes them.
    """
    if settings.courier.way == "front-door":
        yield skipped("releases come by the front door, where all mail is judged but them")
        return
    ports = sorted({_port(settings.courier.inbound), _port(settings.courier.outbound)})
    here = [port for port in ports if any(service.port == port for service in postfix.services)]
    if not here:
        yield skipped("no release listener on this machine")
        return
    rules = [line for line in firewall.splitlines() if "skuid" in line]
    if all(any(re.search(rf"\b{port}\b", line) for line in rules) for port in here):
        yield ok("the firewall lets only named users reach the release listeners")
        return
    told = ", ".join(str(port) for port in here)
    yield warn(
        f"any local user can send unexamined mail through port {told}; keep ordinary users off this machine, "
        "or let only the courier connect",
        mend="nft add table inet gatepost && nft add chain inet gatepost out "
        "'{ type filter hook output priority 0; }' && nft add rule inet gatepost out oifname lo "
        f"tcp dport '{{ {told} }}' meta skuid != '{{ root, gatepost }}' reject",
    )


def _release(postfix: Postfix, settings: Settings, role: str, place: str) -> Iterator[Diagnosis]:
    host = place.rpartition(":")[0].strip("[]")
    if not _is_loopback(host):
        yield skipped(f"courier.{role} is {place}, which is not on this machine")
        return
    port = _port(place)
    service = next((each for each in postfix.services if each.port == port), None)
    if service is None:
        yield fail(
            f"nothing listens on {place} (courier.{role}): held mail cannot be released",
            mend=f"cat config/postfix/master.cf >> {postfix.directory}/master.cf && {postfix.reload()}",
        )
        return
    if service.command != "smtpd":
        yield fail(
            f"{place} (courier.{role}) is served by {service.command}, not by smtpd",
            mend=f"postconf -M {service.key}, then choose a free port for courier.{role} in gatepost.yaml",
        )
        return
    if settings.courier.way == "front-door":
        yield from _front_door(postfix, service)
        return
    found = (
        *_options(postfix, service),
        *_reach(postfix, service),
        *_milters(postfix, settings, service, role),
    )
    yield from or_ok(found, f"{service.name} takes released mail as it should")


def _front_door(postfix: Postfix, service: Service) -> Iterator[Diagnosis]:
    """A release must reach the milter byte for byte, or its token no longer fits and it is held anew."""
    clients = postfix.value("local_header_rewrite_clients", service)
    if clients:
        yield warn(
            f"{service.key} has local_header_rewrite_clients={clients}: it completes the header of released mail. "
            "That is no longer what was signed, and where addresses change, it is held again",
            mend=postfix.override(service, "local_header_rewrite_clients="),
        )
    else:
        yield ok(f"{service.name} takes released mail back unchanged")


def _options(postfix: Postfix, service: Service) -> Iterator[Diagnosis]:
    options = [word for word in re.split(r"[,\s]+", postfix.value("receive_override_options", service)) if word]
    missing = [word for word in _OVERRIDES if word not in options]
    wanted = [*options, *missing]
    if missing:
        yield fail(
            f"{service.key} lacks receive_override_options {', '.join(missing)}: what a reviewer lets go may be "
            "stopped again",
            mend=postfix.override(service, f"receive_override_options={','.join(wanted)}"),
        )
    if "no_address_mappings" in options:
        wanted.remove("no_address_mappings")
        yield fail(
            f"{service.key} has no_address_mappings: aliases stay unexpanded, so released mail is not delivered",
            mend=postfix.override(service, f"receive_override_options={','.join(wanted)}"),
        )
    for name, harm in _EMPTY.items():
        if value := postfix.value(name, service):
            yield fail(f"{service.key} has {name}={value}: {harm}", mend=postfix.override(service, f"{name}="))
    if postfix.value("smtpd_tls_security_level", service) == "encrypt" or (
        postfix.value("smtpd_enforce_tls", service) == "yes"
    ):
        yield fail(
            f"{service.key} demands TLS, which the courier does not speak on loopback",
            mend=postfix.override(service, "smtpd_tls_security_level=none"),
        )


def _reach(postfix: Postfix, service: Service) -> Iterator[Diagnosis]:
    if not postfix.loopback(service):
        port = service.name.rpartition(":")[2]
        yield fail(
            f"{service.key} can be reached from outside: anybody can send mail that nobody examines",
            mend=f"write 127.0.0.1:{port} in place of {service.name} in {postfix.directory}/master.cf, "
            f"then {postfix.reload()}",
        )
    if not _covers_loopback(postfix.value("smtpd_authorized_xforward_hosts", service)):
        yield fail(
            f"{service.key} does not accept XFORWARD from loopback: released mail loses its real client",
            mend=postfix.override(service, "smtpd_authorized_xforward_hosts=127.0.0.0/8"),
        )


def _milters(postfix: Postfix, settings: Settings, service: Service, role: str) -> Iterator[Diagnosis]:
    milters = postfix.milters(service)
    kept = [
        entry
        for entry in milters
        if likeness(entry, socket=settings.socket, queue_directory=postfix.queue_directory, chroot=service.chroot)
        is Likeness.OTHER
    ]
    shared = _port(settings.courier.inbound) == _port(settings.courier.outbound)
    if len(kept) < len(milters):
        rest = "" if role == "inbound" and not shared else ",".join(compact(entry.text) for entry in kept)
        yield fail(
            f"{service.key} asks gatepost itself: what is released is held again",
            mend=postfix.override(service, f"smtpd_milters={rest}"),
        )
    elif role == "inbound" and milters and not shared:
        yield fail(
            f"{service.key} asks {', '.join(entry.endpoint for entry in milters)}: inbound mail was judged before",
            mend=postfix.override(service, "smtpd_milters="),
        )
    elif role == "outbound" and len(milters) > 1:
        yield warn(
            f"{service.key} asks {len(milters)} filters; only the DKIM signer belongs here",
            mend=f"postconf -P {service.key}/smtpd_milters",
        )


def _covers_loopback(value: str) -> bool:
    for word in re.split(r"[,\s]+", value):
        if word.startswith("!") or not word:
            continue
        try:
            network = ip_network(word.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            if word == "localhost":
                return True
            continue
        if network.version == 4 and ip_address("127.0.0.1") in network:
            return True
    return False


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK_HOSTS or host.startswith("127.")


def _port(place: str) -> int:
    return int(place.rpartition(":")[2])
