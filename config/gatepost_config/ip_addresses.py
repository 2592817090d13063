"""Owns whether a text is the IP address of a client, as Postfix tells it."""

from __future__ import annotations

from ipaddress import ip_address

EXAMPLES = "192.0.2.7 or 2001:db8::7"
"""What to show somebody who gave something else (RFC 5737, RFC 3849)."""


def is_ip_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address. A name would match no relay, and be taken for a stranger."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
