"""Owns asking an LDAP server: connected over TLS with a verified certificate, page by page, all of it or nothing.

An answer that is not whole (a size limit, a server that goes away) is an error, never a smaller result: people who
are left out would lose the rules that protect them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ldap
from ldap.controls import SimplePagedResultsControl

from gatepost_config.ldap_source import LdapSource

_RANGE = ";range="
_ENDS = 100_000
"""Rounds for one group's ranges after which a server is taken for mad."""

MOST = 1_000_000
"""Entries that one search may find."""


class LdapError(Exception):
    """The server could not be asked, or did not answer in full; the message says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: its DN, and its values by attribute name in lower case, as they came."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """The values of an attribute that are text, each on one line."""
        texts = (raw.decode("utf-8", "replace") for raw in self.attributes.get(attribute.lower(), ()))
        return tuple(" ".join(text.split()) for text in texts if text.strip() and "\ufffd" not in text)


class Reader:
    """One connection to the server. ``open`` makes it."""

    def __init__(self, connection: Any, *, page: int, timeout: int) -> None:
        self._connection = connection
        self._page = page
        self._timeout = timeout

    @classmethod
    @contextmanager
    def open(cls, source: LdapSource) -> Iterator[Reader]:
        """Connect, encrypt, verify and bind. Raises LdapError, OSError if the password file cannot be read."""
        password = source.bind.password_file.read_text(encoding="utf-8").rstrip("\r\n") if source.bind else ""
        if source.bind and not password:
            # A bind without a password succeeds, as nobody (RFC 4513 section 5.1.2).
            raise LdapError(f"{source.bind.password_file} is empty")
        with _told():
            connection = ldap.initialize(source.uri, bytes_mode=False)
            _secure(connection, source)
        try:
            with _told():
                if not source.uri.startswith(("ldaps://", "ldapi://")):
                    connection.start_tls_s()
                if source.bind:
                    connection.simple_bind_s(source.bind.dn, password)
            yield cls(connection, page=source.page, timeout=source.timeout)
        finally:
            connection.unbind_ext_s()

    def search(self, base: str, wanted: str, attributes: Sequence[str]) -> list[Entry]:
        """Every entry below ``base`` that the filter finds. Raises LdapError unless the answer is whole."""
        entries: list[Entry] = []
        cookie: bytes | str = ""
        while True:
            control = SimplePagedResultsControl(True, size=self._page, cookie=cookie)
            with _told(f"below {base}"):
                number = self._connection.search_ext(
                    base, ldap.SCOPE_SUBTREE, wanted, list(attributes), serverctrls=[control]
                )
                _, data, _, controls = self._connection.result3(number, timeout=self._timeout)
            # An entry without a DN is a referral to another server (RFC 4511 section 4.5.3): a continuation that
            # Active Directory sends for its other partitions, in which there are no people.
            entries += [self._entry(dn, values) for dn, values in data if dn is not None]
            cookie = next((each.cookie for each in controls if each.controlType == control.controlType), b"")
            if not cookie:
                return entries
            if len(entries) > MOST:
                raise LdapError(f"below {base}: more than {MOST:,} entries; is the filter {wanted} meant?")

    def _entry(self, dn: str, values: Mapping[str, Sequence[bytes]]) -> Entry:
        whole: dict[str, tuple[bytes, ...]] = {}
        for name, found in values.items():
            plain, ranged, bounds = name.lower().partition(_RANGE)
            if ranged:
                whole[plain] = (*found, *self._rest(dn, plain, bounds))
            elif found or plain not in whole:
                whole[plain] = tuple(found)
        return Entry(dn=dn, attributes=whole)

    def _rest(self, dn: str, name: str, bounds: str) -> Iterator[bytes]:
        """The values behind the first range: Active Directory gives 1,500 members at a time."""
        for _ in range(_ENDS):
            last = bounds.partition("-")[2]
            if last == "*":
                return
            try:
                start = int(last) + 1
            except ValueError:
                raise LdapError(f"{dn}: the server gave the range {bounds!r} of {name}") from None
            asked = f"{name}{_RANGE}{start}-*"
            with _told(dn):
                found = self._connection.search_ext_s(
                    dn, ldap.SCOPE_BASE, "(objectClass=*)", [asked], timeout=self._timeout
                )
            ranges = [
                (key.lower().partition(_RANGE)[2], values)
                for _, given in found
                for key, values in given.items()
                if key.lower().startswith(f"{name}{_RANGE}")
            ]
            if len(ranges) != 1:
                raise LdapError(f"{dn}: the server does not give the rest of {name}")
            bounds, values = ranges[0]
            yield from values
        raise LdapError(f"{dn}: {name} does not end")


def _secure(connection: Any, source: LdapSource) -> None:
    connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    connection.set_option(ldap.OPT_REFERRALS, 0)  # else our password would be sent to whom the server names
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, source.timeout)
    connection.set_option(ldap.OPT_TIMEOUT, source.timeout)
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    if source.ca_file is not None:
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(source.ca_file))
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # from here on the options above hold


@contextmanager
def _told(where: str = "") -> Iterator[None]:
    """Turn what the library raises into a sentence."""
    try:
        yield
    except ldap.LDAPError as error:
        told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        words = [str(told.get(key, "")).strip() for key in ("desc", "info")]
        said = ": ".join(word for word in words if word) or type(error).__name__
        if isinstance(error, ldap.CONNECT_ERROR | ldap.SERVER_DOWN):
            # The library knows why a certificate is not believed, but does not say it.
            said += "; is the server up, is its name the one in its certificate, and is ca_file its authority?"
        raise LdapError(f"{said} ({where})" if where else said) from None
