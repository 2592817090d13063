"""Owns what a release is: the bytes as they were held, below one Received field, in the envelope they came in.

Milters do not see the Received field that Postfix adds, so the release adds one from the stored facts about the
client (RFC 5321 section 4.4). It depends on nothing but the held message, so a resend is the same mail.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from itertools import chain

from gatepost_config.words import Direction
from gatepost_quarantine.held import Envelope, HeldMessage
from gatepost_quarantine.tokens import RELEASE_HEADER, ReleaseTokens, body_digest, content_digest

_COLUMNS = 78
_WORD = 64
"""Characters of one word of the field; what is longer is cut, so that every line can be folded."""

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_PROTOCOL = re.compile(r"[A-Z0-9]{1,20}\Z")
_HEADER_END = b"\r\n\r\n"
_UNAVAILABLE = "[UNAVAILABLE]"
_XFORWARD_LIMIT = 255


def message(held: HeldMessage, content: Iterator[bytes]) -> Iterator[bytes]:
    """The message to send: one Received field, then the bytes as they were held, in pieces."""
    yield received_field(held)
    yield from content


def front_door(content: Iterable[bytes], *, recipients: Iterable[str], key: bytes, now: datetime) -> bytes:
    """The field by which a gateway knows what the courier brings to the front door. It reads the content once.

    It is for exactly these bytes and recipients, for once, and for a short time; the gateway takes it off.
    """
    header, body = _split(content)
    digest = content_digest(header, body_digest(body))
    token = ReleaseTokens(key).make(digest, recipients, now=now)
    return f"{RELEASE_HEADER}: {token}\r\n".encode("ascii")


def size(held: HeldMessage) -> int:
    """Bytes of the message to send."""
    return len(received_field(held)) + held.size


def received_field(held: HeldMessage) -> bytes:
    """The trace field of the hop into this gateway: ASCII, lines of at most 78 columns, CRLF at the end.

    Everything in it that the client said is reduced to the letters of host names, so that nothing can start a
    new line, a comment or another field.
    """
    envelope = held.envelope
    words = ["Received:"]
    if envelope.helo or envelope.client_address:
        words += ["from", _name(envelope.helo or "unknown"), *_tcp_info(envelope)]
    if envelope.tls_version:
        words += ["(using", f"{_name(envelope.tls_version)})"]
    words += ["by", _name(held.gateway or "unknown"), "(gatepost)", "with", _protocol(envelope)]
    if held.queue_id:
        words += ["id", _name(held.queue_id)]
    words[-1] += ";"
    words += format_datetime(held.received_at).split()
    return _folded(words)


def forwarded_client(envelope: Envelope, *, queue_id: str) -> Mapping[str, str]:
    """The client's facts for XFORWARD, by attribute, not yet encoded.

    So Postfix's log names the client that sent the message, not the courier.
    """
    address = _ip(envelope.client_address)
    shown = _UNAVAILABLE if address is None else str(address)
    if isinstance(address, ipaddress.IPv6Address):
        shown = f"IPV6:{address}"
    local = address is None or address.is_loopback
    facts = {
        "NAME": envelope.client_name or _UNAVAILABLE,
        "ADDR": shown,
        "PORT": str(envelope.client_port) if envelope.client_port else _UNAVAILABLE,
        "PROTO": "SMTP" if envelope.protocol == "SMTP" else "ESMTP",
        "HELO": envelope.helo or _UNAVAILABLE,
        "IDENT": queue_id or _UNAVAILABLE,
        "SOURCE": "LOCAL" if local else "REMOTE",
    }
    return {name: value[:_XFORWARD_LIMIT] for name, value in facts.items()}


def goes_inbound(direction: Direction) -> bool:
    """Whether a recipient's copy goes to the inbound release listener; all else needs the DKIM signer."""
    return direction is Direction.INBOUND


def _split(content: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The header with the empty line that ends it, and the body in pieces."""
    pieces, start = iter(content), bytearray()
    for piece in pieces:
        start += piece
        end = start.find(_HEADER_END) + len(_HEADER_END)
        if end >= len(_HEADER_END):
            return bytes(start[:end]), chain([bytes(start[end:])], pieces)
    return bytes(start), iter(())


def _tcp_info(envelope: Envelope) -> list[str]:
    name = _name(envelope.client_name or "unknown")
    address = _ip(envelope.client_address)
    if address is None:
        return [f"({name})"]
    tag = "IPv6:" if address.version == 6 else ""
    return [f"({name}", f"[{tag}{address}])"]


def _protocol(envelope: Envelope) -> str:
    """The registered name for what was spoken (RFC 3848, RFC 6531 section 4.3)."""
    if envelope.protocol not in ("", "SMTP", "ESMTP") and _PROTOCOL.match(envelope.protocol):
        return envelope.protocol
    if envelope.protocol == "SMTP" and not envelope.login and not envelope.tls_version:
        return "SMTP"
    international = any(each.upper() == "SMTPUTF8" for each in envelope.sender_parameters)
    secure = "S" if envelope.tls_version else ""
    authenticated = "A" if envelope.login else ""
    return f"{'UTF8SMTP' if international else 'ESMTP'}{secure}{authenticated}"


def _name(value: str) -> str:
    safe = _NOT_A_NAME.sub("?", value)
    return safe if len(safe) <= _WORD else f"{safe[: _WORD - 3]}..."


def _ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(value.removeprefix("IPv6:"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        return ipaddress.IPv6Address(int(address))
    return address


def _folded(words: list[str]) -> bytes:
    lines, line = [], words[0]
    for word in words[1:]:
        if len(line) + 1 + len(word) > _COLUMNS:
            lines.append(line)
            line = f"    {word}"
        else:
            line = f"{line} {word}"
    lines.append(line)
    return "\r\n".join([*lines, ""]).encode("ascii")
