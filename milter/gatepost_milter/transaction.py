"""Owns the Transaction: everything Postfix said about one message, frozen at end of message.

Nothing in here is believed yet: who the sender is, and which way the message goes, is decided by the policy
room (``policy/identity.py``) from these facts and the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gatepost_milter.spool import Spool


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
    line, the body. ``key`` names this transaction in logs even where no queue id exists.
    """

    key: str
    client: Client
    sender: Path
    recipients: tuple[Path, ...]
    content: Spool
    headers: tuple[tuple[bytes, bytes], ...] = ()
    queue_id: str = ""
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def header(self, name: bytes) -> bytes:
        """The value of the first field of that name, stripped; empty when there is none."""
        wanted = name.lower()
        for field_name, value in self.headers:
            if field_name.strip().lower() == wanted:
                return value.strip()
        return b""
