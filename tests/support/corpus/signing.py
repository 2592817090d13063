"""Owns signatures and envelopes of the corpora: S/MIME with a key made on the spot, and the armour of OpenPGP."""

from __future__ import annotations

import base64
import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def certificate() -> x509.Certificate:
    """A certificate of its own making for alice@sender.example."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Alice Example")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key().public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(_key(), hashes.SHA256())
    )


def _builder(content: bytes) -> pkcs7.PKCS7SignatureBuilder:
    return pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate(), _key(), hashes.SHA256())


def opaque(content: bytes) -> bytes:
    """``content`` inside a signed structure (DER)."""
    return _builder(content).sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def detached(content: bytes) -> bytes:
    """The signature alone (DER)."""
    options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.DetachedSignature]
    return _builder(content).sign(Encoding.DER, options)


def enveloped(content: bytes) -> bytes:
    """``content`` encrypted for alice@sender.example (DER)."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content).add_recipient(certificate())
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def armoured(packets: bytes, kind: bytes = b"MESSAGE") -> bytes:
    """OpenPGP packets in armour (RFC 9580 section 6), with its check."""
    crc = 0xB704CE
    for byte in packets:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    body = base64.encodebytes(packets).replace(b"\n", b"\r\n")
    check = base64.b64encode((crc & 0xFFFFFF).to_bytes(3, "big"))
    return b"-----BEGIN PGP %s-----\r\n\r\n%s=%s\r\n-----END PGP %s-----\r\n" % (kind, body, check, kind)
