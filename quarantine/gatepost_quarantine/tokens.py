"""Owns what gatepost signs for its own later reading: links, reply addresses, its own releases and notices.

Each has a purpose of its own in what is signed, so that none passes for another. The keys are the store's, which
all gateways of a school share (``Store.key``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer

from gatepost_quarantine.held import HeldMessage

LINK_KEY, REPLY_KEY, RELEASE_KEY, NOTICE_KEY = "sender-link", "sender-reply", "front-door", "notice"
"""Names of the store's keys."""

RELEASE_HEADER = "X-Gatepost-Release"
NOTICE_HEADER = "X-Gatepost-Notice"
RELEASE_LIFETIME = timedelta(minutes=15)
"""How long a front-door token is good: every try to send has one of its own."""

_ID_LETTERS = 16
_MARK_LETTERS = 16
"""80 bits in base 32: a local part has 64 octets (RFC 5321 section 4.5.3.1.1), and letters may lose their case."""

_NOTICE_ID_LETTERS = 16


class TokenError(Exception):
    """The token is not ours, not for this, or no longer good; the text says which, for the log only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a link stands for: this held message, and the mailbox that the link was sent to."""

    held_id: str
    sender: str


class Links:
    """The links of notices."""

    def __init__(self, key: bytes) -> None:
        self._signer = _signer(key, "gatepost sender link")

    def make(self, claim: Claim, *, until: datetime) -> str:
        """The token of a link that is good until then."""
        return _text(self._signer.dumps([claim.held_id, claim.sender, int(until.timestamp())]))

    def read(self, token: str, *, now: datetime) -> Claim:
        """What the token stands for. Raises TokenError."""
        held_id, sender, until = _loaded(self._signer, token, (str, str, int))
        if now.timestamp() >= until:
            raise TokenError("the link is too old")
        return Claim(held_id=held_id, sender=sender)


class ReplyAddresses:
    """Plus-addresses of one mailbox, each for the answer to one held message by its sender."""

    def __init__(self, key: bytes, *, mailbox: str) -> None:
        self._key = key
        self._local, _, self._domain = mailbox.casefold().rpartition("@")

    def make(self, held: HeldMessage) -> str:
        """The address that the sender of this message answers to."""
        return f"{self._local}+{held.id[:_ID_LETTERS]}-{self._mark(held)}@{self._domain}"

    def held_id(self, address: str) -> str:
        """The start of the id that an address of ours names; believed only once ``is_good`` says so."""
        local = address.casefold().rpartition("@")[0]
        return local.removeprefix(f"{self._local}+").partition("-")[0]

    def is_good(self, address: str, held: HeldMessage) -> bool:
        """Whether the address is the very one that was made for this message."""
        given = address.casefold().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self.make(held).encode("utf-8", "surrogateescape"))

    def _mark(self, held: HeldMessage) -> str:
        said = "\0".join(("gatepost sender reply", held.id, held.sender.casefold()))
        digest = hmac.new(self._key, said.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
        return b32encode(digest).decode().lower()[:_MARK_LETTERS]


def is_reply_address(address: str, *, mailbox: str) -> bool:
    """Whether the address is a plus-address of the reply mailbox, good or not. It takes no key to see that."""
    local, _, domain = address.casefold().rpartition("@")
    own, _, own_domain = mailbox.casefold().rpartition("@")
    return domain == own_domain and local.startswith(f"{own}+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePass:
    """A token that was read: ``nonce`` must be spent once, and remembered until ``until``."""

    nonce: str
    until: datetime


class ReleaseTokens:
    """The tokens by which a gateway knows its own releases at the front door."""

    def __init__(self, key: bytes) -> None:
        self._signer = _signer(key, "gatepost release")

    def make(self, digest: str, recipients: Iterable[str], *, now: datetime) -> str:
        """The token for a message of this digest to exactly these recipients."""
        until = int((now + RELEASE_LIFETIME).timestamp())
        return _text(self._signer.dumps([secrets.token_hex(12), digest, _listed(recipients), until]))

    def read(
        self, token: str, digests: Collection[str], recipients: Iterable[str], *, now: datetime
    ) -> ReleasePass:
        """The pass that the token is for a message of one of these digests. Raises TokenError."""
        nonce, signed, listed, until = _loaded(self._signer, token, (str, str, str, int))
        if now.timestamp() >= until:
            raise TokenError("the token is too old")
        if signed not in digests:
            raise TokenError("the token is for another message")
        if listed != _listed(recipients):
            raise TokenError("the token is for other recipients")
        return ReleasePass(nonce=nonce, until=datetime.fromtimestamp(until, UTC))


class NoticeMarks:
    """The marks by which a gateway knows a notice of its own that comes back, whatever was done to the rest of it.

    A mark stands for itself, not for the bytes around it. Whoever copies one on to other mail gains no more than
    from an Auto-Submitted field: they are told nothing about that mail.
    """

    def __init__(self, key: bytes) -> None:
        self._signer = Signer(key, salt="gatepost notice", digest_method=hashlib.sha256)

    def make(self, message_id: str) -> str:
        """The mark of the notice with this Message-ID: the same each time, and one word of ASCII."""
        name = hashlib.sha256(message_id.encode("utf-8", "surrogateescape")).hexdigest()[:_NOTICE_ID_LETTERS]
        return self._signer.sign(name).decode("ascii")

    def is_ours(self, value: bytes) -> bool:
        """Whether a field's value is a mark of ours, folded or not."""
        return self._signer.validate(b"".join(value.split()))


def content_digest(header: bytes, body: bytes) -> str:
    """The digest of a message from the SHA-256 of its body and its header with the empty line after it."""
    return hashlib.sha256(hashlib.sha256(header).digest() + body).hexdigest()


def body_digest(pieces: Iterable[bytes]) -> bytes:
    """The SHA-256 of a body."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _signer(key: bytes, purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt=purpose, signer_kwargs={"digest_method": hashlib.sha256})


def _loaded(signer: URLSafeSerializer, token: str, kinds: tuple[type, ...]) -> list[Any]:
    try:
        said = signer.loads(token)
    except BadData as error:
        raise TokenError(f"the token is not ours: {error}") from None
    # Base 64 has several spellings of the same bytes; one token has one.
    if _text(signer.dumps(said)) != token:
        raise TokenError("the token is not as it was signed")
    if not isinstance(said, list) or [type(each) for each in said] != [*kinds]:
        raise TokenError("the token is not for this")
    return said


def _text(token: str | bytes) -> str:
    return token if isinstance(token, str) else token.decode("ascii")


def _listed(recipients: Iterable[str]) -> str:
    """The recipients as a digest: a header field is too short for many of them."""
    named = "\0".join(sorted(set(recipients)))
    return hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()
