"""Owns the Transaction: everything Postfix said about one message, frozen at end of message.

Nothing in here is believed yet: who the sender is, and which way the message goes, is decided by the policy
room (``policy/identity.py``) from these facts and the settings.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gatepost_milter.spool import Spool

# Crockford's base 32: no I, L, O or U, so that nothing is misheard or misread.
_SUPPORT_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SUPPORT_BYTES = 5


def new_support_id() -> str:
    """Eight random characters that can be read out on the telephone: 40 bits, so never guessed or counted."""
    number = int.from_bytes(secrets.token_bytes(_SUPPORT_BYTES))
    return "".join(_SUPPORT_ALPHABET[number >> shift & 31] for shift in range(0, _SUPPORT_BYTES * 8, 5))


def header_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The header fields in wire form, and the empty line that ends them (RFC 5322 section 2.1).

    Values are as the milter protocol gives them: with LF, or CRLF, where they are folded.
    """
    fields = [name + b":" + value for name, value in headers]
    fields.append(b"\n")
    return b"\n".join(fields).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The SMTP client as Postfix knows it. Empty strings mean that Postfix did not say.

    ``tls_name`` is the subject name of a *verified* client certificate. ``login`` is the SASL login name.
    """

    name: str = ""
    address: str = ""
    port: int = 0
    helo: str = ""
    protocol: str = ""
    tls_version: str = ""
    tls_name: str = ""
    login: str = ""
    login_method: str = ""
    daemon: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """An envelope address (RFC 5321 reverse-path or forward-path) with its ESMTP parameters.

    ``address`` is without angle brackets, empty for the null sender; ``wire`` is what Postfix sent, to be
    given back to Postfix unchanged. ``parameters`` are as they came: ``("BODY=8BITMIME", "SMTPUTF8")``.
    """

    address: str
    wire: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One message in flight: client, envelope, header fields as Postfix shows them to milters, and the bytes.

    ``headers`` holds (name, value) with the value exactly as sent, leading space and folding included, CRLF
    as Postfix gives it (LF). ``content`` is the whole message in wire form: header fields with CRLF, the empty
    line, the body. ``key`` names this transaction in logs even where no queue id exists;
    ``support_id`` names it to people, and is the ``support_id`` of its explanation.
    """

    key: str
    client: Client
    sender: Path
    recipients: tuple[Path, ...]
    content: Spool
    headers: tuple[tuple[bytes, bytes], ...] = ()
    queue_id: str = ""
    support_id: str = field(default_factory=new_support_id)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def body(self) -> Iterator[bytes]:
        """The bytes after the header and the empty line that ends it, in pieces."""
        skip = len(header_block(self.headers))
        for piece in self.content.chunks():
            if skip >= len(piece):
                skip -= len(piece)
                continue
            yield piece[skip:]
            skip = 0

    def header(self, name: bytes) -> bytes:
        """The value of the first field of that name, stripped; empty when there is none."""
        wanted = name.lower()
        for field_name, value in self.headers:
            if field_name.strip().lower() == wanted:
                return value.strip()
        return b""
