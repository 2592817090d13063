"""Owns signed letters of all the shapes that mail comes in, for proofs that not one byte of them changes."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

DOMAIN = "outside.example"
_WORDS = [
    "Trip",
    "letter",
    "office",
    "pupils",
    "Friday",
    "hall",
    "parents",
    "menu",
    "concert",
    "minibus",
    "reply",
    "please",
    "term",
]


class Shape(StrEnum):
    """What is odd about a letter."""

    PLAIN = "plain"
    FOLDED = "folded"
    EIGHT_BIT = "8-bit"
    INTERNATIONAL = "smtputf8"
    LONG_LINES = "long lines"
    DOTS = "dots"
    EMPTY_LINES = "empty lines"
    BARE_CR = "bare CR"
    BARE_LF = "bare LF"
    NO_BODY = "no body"
    ATTACHMENT = "attachment"


@dataclass(frozen=True, slots=True)
class Letter:
    """A signed letter. ``options`` are the parameters of its MAIL command."""

    shape: Shape
    content: bytes
    options: tuple[str, ...]


class Signer:
    """A domain that signs what it sends, and the DNS that knows its key."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._record = b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])

    def signed(self, message: bytes, *, canonical: tuple[bytes, bytes]) -> bytes:
        """The message below a signature over all its fields and all its body."""
        fields = re.split(rb"\r\n(?![ \t])", message.partition(b"\r\n\r\n")[0])
        names = [field.partition(b":")[0].strip() for field in fields]
        signature: bytes = dkim.sign(
            message, b"s1", DOMAIN.encode(), self._private, canonicalize=canonical, include_headers=names
        )
        return signature + message

    def verifies(self, message: bytes) -> bool:
        """Whether the signature is good."""
        return bool(dkim.verify(message, dnsfunc=lambda _name, timeout=5: self._record, minkey=2048))


def letters(many: int, *, signer: Signer, seed: int = 5) -> list[Letter]:
    """So many letters, of each shape in turn and under each canonicalisation; the same for the same seed."""
    chance = random.Random(seed)
    shapes = list(Shape)
    forms = [(header, body) for header in (b"simple", b"relaxed") for body in (b"simple", b"relaxed")]
    made = []
    for number in range(many):
        shape = shapes[number % len(shapes)]
        message = _message(chance, shape, number)
        content = signer.signed(message, canonical=forms[number // len(shapes) % len(forms)])
        options = () if content.isascii() else ("BODY=8BITMIME",)
        made.append(Letter(shape, content, (*options, "SMTPUTF8") if shape is Shape.INTERNATIONAL else options))
    return made


def _message(chance: random.Random, shape: Shape, number: int) -> bytes:
    words = " ".join(chance.choices(_WORDS, k=chance.randint(1, 8)))
    fields = [
        b"From: Someone <someone@outside.example>",
        b"To: teacher@school.example",
        f"Subject: {words}".encode(),
        b"Date: Mon, 02 Nov 2026 08:30:00 +0000",
        f"Message-ID: <{number}@{DOMAIN}>".encode(),
    ]
    lines = [
        " ".join(chance.choices(_WORDS, k=chance.randint(1, 12))).encode() for _ in range(chance.randint(1, 40))
    ]
    end = b"\r\n"
    match shape:
        case Shape.FOLDED:
            fields += [_oddly_folded(chance) for _ in range(3)]
        case Shape.EIGHT_BIT:
            fields[2] = b"Subject: Gr\xfc\xdfe \xff " + chance.randbytes(12).translate(None, b"\r\n\0")
            lines += [chance.randbytes(60).translate(None, b"\r\n\0") for _ in range(5)]
        case Shape.INTERNATIONAL:
            fields[0] = "From: Zoë <zoë@bücher.example>".encode()
            fields[2] = f"Subject: 🎒 „{words}“".encode()
            lines.append("Grüße, 你好".encode())
        case Shape.LONG_LINES:
            lines += [b"x" * chance.randint(900, 998), b"y" * chance.randint(999, 4000)]
        case Shape.DOTS:
            lines += [b".", b"..", b".a", b"...", b". "]
            chance.shuffle(lines)
        case Shape.EMPTY_LINES:
            lines += [b"", b"  ", b"\t", b""] + [b""] * chance.randint(0, 5)
        case Shape.BARE_CR:
            lines.append(b"a\rb \r c")
        case Shape.BARE_LF:
            lines.append(b"a\nb\n\nc")
        case Shape.NO_BODY:
            lines, end = [], b""
        case Shape.ATTACHMENT:
            fields += [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="-=_b"']
            lines = [
                b"preamble ",
                b"---=_b",
                b"",
                *lines,
                b"---=_b",
                b"Content-Type: image/png",
                b"",
                b"\x89PNG",
                b"---=_b--  ",
            ]
    return b"\r\n".join(fields) + b"\r\n\r\n" + b"\r\n".join(lines) + end


def _oddly_folded(chance: random.Random) -> bytes:
    """A field with tabs, many blanks, none after its colon, and folds of all kinds."""
    gaps = (b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t", b"\r\n    ", b" \r\n\t ")
    value = b"".join(chance.choice(gaps) + chance.choice(_WORDS).encode() for _ in range(chance.randint(1, 12)))
    return chance.choice((b"X-Odd:", b"X-ODD-Case:", b"x-odd:")) + value.removeprefix(chance.choice((b"", b" ")))
