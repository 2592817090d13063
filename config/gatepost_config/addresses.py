"""Owns the identity of an address: when two spellings are one mailbox, and when an address is valid at all.

Nothing here is for delivering mail. Delivery uses the address exactly as the envelope has it; identity is for
looking people up, counting households and comparing sender with owner, where `J.Smith+trip@GoogleMail.com` and
`jsmith@gmail.com` are one person (RFC 5233 for the tag; the dots are Gmail's own rule).
"""

from __future__ import annotations

import re
import unicodedata

import idna

# RFC 1035 section 2.3.4. A longer name never goes to the IDNA code: hostile length must not cost time.
DOMAIN_LIMIT = 253
_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED_ATOM = re.compile(rf'"({_ATOM}(?:\.{_ATOM})*)"')

# The plain case, strictly narrower than what email-validator takes; the unit tests hold the two together.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,61}(?<!-)"
_PLAIN = re.compile(
    rf"[A-Za-z0-9_'+-]{{1,64}}(?:\.[A-Za-z0-9_'+-]+)*@(?:{_LABEL}\.)+(?=[A-Za-z0-9-]*[A-Za-z]\Z){_LABEL}\Z"
)
# RFC 5321 section 4.5.3.1.1 and the path limit of 4.5.3.1.3 less its angle brackets, in octets.
_LOCAL_LIMIT = 64
_ADDRESS_LIMIT = 254
# Reserved names (RFC 6761 and others) end in one of these; whether they may be used, email-validator says.
_RESERVED = ("arpa", "invalid", "local", "localhost", "onion", "test")


class InvalidAddressError(ValueError):
    """An address that no mail can go to; the text says what is wrong with it in plain words."""


def normalise(address: str) -> str:
    """The form of ``address`` under which two spellings of one mailbox are equal.

    Case, Unicode form, a needless pair of quotes, a ``+tag`` and the domain's IDNA form make no difference;
    at Gmail neither do dots nor the name googlemail.com. Never raises: what is no address at all comes back in
    lower case, so that it is equal only to itself. The identity of a valid address is its own identity.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at:
        return _fold(domain)
    local = local.lower() if local.isascii() else _fold(local)
    if local.startswith('"'):
        quoted = _QUOTED_ATOM.fullmatch(local)
        if quoted:
            local = quoted[1]
    domain = ascii_domain(domain)
    if "+" in local:
        # An address that is nothing but a tag keeps it: an empty local part would make strangers equal.
        local = local.partition("+")[0] or local
    if domain in _GMAIL:
        domain = "gmail.com"
        local = local.replace(".", "") or local
    return f"{local}@{domain}"


def ascii_domain(domain: str) -> str:
    """``domain`` in lower case as A-labels (RFC 5890), without a final dot; a name that IDNA refuses is only
    put in lower case. Never raises."""
    if domain.isascii():
        domain = domain.lower()
        return domain.removesuffix(".")
    if len(domain) <= DOMAIN_LIMIT:
        try:
            return idna.encode(domain, uts46=True).decode("ascii").removesuffix(".")
        except UnicodeError:  # idna.IDNAError is one
            pass
    return _fold(domain).removesuffix(".")


def domain_of(address: str) -> str:
    """The domain of ``address`` as ``ascii_domain`` gives it; empty when there is none."""
    _, at, domain = address.strip().rpartition("@")
    return ascii_domain(domain) if at else ""


def check(address: str) -> None:
    """Raise InvalidAddressError unless ``address`` is one that mail can go to (RFC 5321, 5322, 6531).

    The DNS is never asked. email-validator is the judge; only plain ASCII addresses, which it always takes,
    are let through without it, because it takes 40 µs for each and a directory has thousands.
    """
    if _plainly_valid(address):
        return
    # Imported here: it costs 50 ms, and most commands and directories never meet an unusual address.
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(address, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise InvalidAddressError(str(error)) from None


def _plainly_valid(address: str) -> bool:
    if len(address) > _ADDRESS_LIMIT or not _PLAIN.match(address):
        return False
    local, _, domain = address.partition("@")
    if len(local) > _LOCAL_LIMIT or len(domain) > DOMAIN_LIMIT:
        return False
    return not domain.lower().endswith(_RESERVED)


def _fold(text: str) -> str:
    """Canonical composition before and after lower case, because either can undo the other (UAX 15)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
