"""Owns the seal: how a held message is encrypted so that only two roles together can ever open it.

A seal key is an X25519 pair. Its private half is cut in two shares at birth: each is as random as the other, and
one alone says nothing. Each role keeps one share in a file, encrypted with a passphrase of theirs. The gateway has
the public half only, so neither it nor whoever steals its disk can open what it sealed.

A message gets a random key of its own, wrapped for every public key (X25519, HKDF-SHA256, ChaCha20-Poly1305). Its
pieces are encrypted one by one with ChaCha20-Poly1305; the nonce says which piece it is and whether it is the
last, so that no piece can be left out, put elsewhere, or moved to another message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

PrivateKey = X25519PrivateKey
"""The whole private half of a seal key: two shares together."""

_KEY = 32
_PURPOSE = b"gatepost seal 1"
_RECORD = b"\1" + bytes(11)
"""The nonce of the record: the pieces' nonces begin with a zero byte."""

_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**16, 8, 1
"""64 MiB and about 0.2 s for one guess at a passphrase."""


class SealError(Exception):
    """A key, a share, a passphrase or a sealed message that does not fit or was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One half of a private key, encrypted; ``text`` is what its file holds. ``fingerprint`` names the key."""

    role: str
    fingerprint: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A new seal key: the public half for the settings, and one share for each of two roles."""

    public: str
    shares: tuple[Share, Share]


def new_key(first: tuple[str, str], second: tuple[str, str]) -> NewKey:
    """A new key for two (role, passphrase) pairs. The private key exists nowhere once this returns."""
    private = X25519PrivateKey.generate()
    whole = private.private_bytes_raw()
    one = secrets.token_bytes(_KEY)
    other = _xor(whole, one)
    public = _base64(private.public_key().public_bytes_raw())
    name = fingerprint(public)
    shares = tuple(
        Share(role=role, fingerprint=name, text=_locked(half, number, role, name, passphrase))
        for number, (half, (role, passphrase)) in enumerate(((one, first), (other, second)), start=1)
    )
    return NewKey(public=public, shares=(shares[0], shares[1]))


def fingerprint(public: str) -> str:
    """The name of a public key: short enough to compare by eye. Raises SealError."""
    return hashlib.sha256(_public(public).public_bytes_raw()).hexdigest()[:16]


def private_key(first: tuple[str, str], second: tuple[str, str]) -> X25519PrivateKey:
    """The private key of two (share's text, passphrase) pairs. Raises SealError."""
    opened = [_unlocked(text, passphrase) for text, passphrase in (first, second)]
    if opened[0][1] != opened[1][1]:
        raise SealError("the two shares belong to different keys")
    private = X25519PrivateKey.from_private_bytes(_xor(opened[0][0], opened[1][0]))
    if fingerprint(public_of(private)) != opened[0][1]:
        raise SealError("these are not the two halves of one key; were they the same share twice?")
    return private


def public_of(private: X25519PrivateKey) -> str:
    """The public half, as the settings hold it."""
    return _base64(private.public_key().public_bytes_raw())


class Sealer:
    """Encrypts one message. ``head`` is what the store keeps in clear beside it: wrapped keys and the record."""

    def __init__(self, held_id: str, public_keys: Sequence[str]) -> None:
        self._key = ChaCha20Poly1305.generate_key()
        self._held_id = held_id.encode()
        self._wrapped = [self._wrap(each) for each in public_keys]
        self._cipher = ChaCha20Poly1305(self._key)

    def head(self, record: bytes) -> str:
        """The head of the seal, with the message's own record encrypted inside it."""
        sealed = self._cipher.encrypt(_RECORD, record, self._held_id)
        return json.dumps({"version": 1, "keys": self._wrapped, "record": _base64(sealed)})

    def pieces(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Each piece encrypted, in order; the last one is marked as such."""
        before: bytes | None = None
        number = 0
        for piece in pieces:
            if before is not None:
                yield self._cipher.encrypt(_nonce(number, last=False), before, self._held_id)
                number += 1
            before = piece
        yield self._cipher.encrypt(_nonce(number, last=True), before or b"", self._held_id)

    def _wrap(self, public: str) -> dict[str, str]:
        ephemeral = X25519PrivateKey.generate()
        to = _public(public)
        mine = ephemeral.public_key().public_bytes_raw()
        key = _derived(ephemeral.exchange(to), mine, to.public_bytes_raw())
        wrapped = ChaCha20Poly1305(key).encrypt(bytes(12), self._key, self._held_id)
        return {"key": fingerprint(public), "ephemeral": _base64(mine), "wrapped": _base64(wrapped)}


class Opener:
    """Decrypts one message with a private key. Raises SealError where anything was changed."""

    def __init__(self, held_id: str, head: str, private: X25519PrivateKey) -> None:
        self._held_id = held_id.encode()
        try:
            said = json.loads(head)
            self._record = _bytes(said["record"])
            wrapped = {each["key"]: (_bytes(each["ephemeral"]), _bytes(each["wrapped"])) for each in said["keys"]}
        except (ValueError, KeyError, TypeError) as error:
            raise SealError("the head of the seal is damaged") from error
        mine = private.public_key().public_bytes_raw()
        name = fingerprint(_base64(mine))
        if name not in wrapped:
            raise SealError(f"it was sealed to {', '.join(wrapped) or 'no key'}, and these shares make {name}")
        ephemeral, locked = wrapped[name]
        key = _derived(private.exchange(X25519PublicKey.from_public_bytes(ephemeral)), ephemeral, mine)
        self._cipher = ChaCha20Poly1305(_decrypted(ChaCha20Poly1305(key), bytes(12), locked, self._held_id))

    def record(self) -> bytes:
        """The message's own record."""
        return _decrypted(self._cipher, _RECORD, self._record, self._held_id)

    def pieces(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces in clear. What was cut off shows at the end, so keep nothing before this is exhausted.

        Raises SealError.
        """
        before: bytes | None = None
        number = 0
        for piece in pieces:
            if before is not None:
                yield _decrypted(self._cipher, _nonce(number, last=False), before, self._held_id)
                number += 1
            before = piece
        if before is None:
            raise SealError("the sealed message is gone")
        yield _decrypted(self._cipher, _nonce(number, last=True), before, self._held_id)


def keys_of(head: str) -> tuple[str, ...]:
    """The fingerprints of the keys that can open it."""
    return tuple(str(each["key"]) for each in json.loads(head)["keys"])


def _nonce(number: int, *, last: bool) -> bytes:
    return b"\0" + number.to_bytes(10) + (b"\1" if last else b"\0")


def _derived(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY, salt=ephemeral + public, info=_PURPOSE).derive(shared)


def _decrypted(cipher: ChaCha20Poly1305, nonce: bytes, data: bytes, held_id: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, data, held_id)
    except InvalidTag:
        raise SealError("the sealed message was changed, or a part of it is missing") from None


def _locked(half: bytes, number: int, role: str, name: str, passphrase: str) -> str:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    said = {"gatepost": "seal share", "version": 1, "key": name, "role": role, "share": number}
    data = ChaCha20Poly1305(_stretched(passphrase, salt)).encrypt(nonce, half, _said(said))
    secret = {"salt": _base64(salt), "nonce": _base64(nonce), "data": _base64(data)}
    return json.dumps(said | secret, indent=2) + "\n"


def _unlocked(text: str, passphrase: str) -> tuple[bytes, str]:
    try:
        share = json.loads(text)
        salt, nonce, data = (_bytes(share.pop(name)) for name in ("salt", "nonce", "data"))
        name, role = str(share["key"]), str(share["role"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SealError("this file is no share of a seal key") from error
    try:
        return ChaCha20Poly1305(_stretched(passphrase, salt)).decrypt(nonce, data, _said(share)), name
    except (InvalidTag, ValueError):
        raise SealError(f"the passphrase does not open the share of {role}") from None


def _said(share: dict[str, Any]) -> bytes:
    return json.dumps(share, sort_keys=True).encode()


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())


def _public(text: str) -> X25519PublicKey:
    raw = _bytes(text)
    if len(raw) != _KEY:
        raise SealError("a public seal key is 32 bytes in base64, as `gatepost seal new-key` prints it")
    return X25519PublicKey.from_public_bytes(raw)


def _xor(one: bytes, other: bytes) -> bytes:
    if len(one) != _KEY or len(other) != _KEY:
        raise SealError("a share has the wrong length")
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SealError("this is not base64") from error
