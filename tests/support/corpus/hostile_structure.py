"""Owns hostile cases in boundaries, in files written into texts, and in messages inside messages."""

from __future__ import annotations

import binascii
import zlib
from functools import partial

from support.corpus import payloads, signing
from support.corpus.case import ENCRYPTED, PROGRAM, SCRIPT, STOPPED, Register
from support.corpus.packers import zipped
from support.corpus.shapes import (
    BASE64,
    MIXED,
    OCTETS,
    TEXT,
    attached,
    b64,
    file,
    letter,
    mail,
    multipart,
    named,
    part,
    parts,
    program,
    program64,
    quoted,
)

boundaries = Register("boundary")
texts = Register("text-file")
messages = Register("message")


def _declared(boundary: bytes, body: bytes) -> bytes:
    return mail(part(b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n", body))


def _separated(line: bytes, *, declared: bytes = b'"outer"', end: bytes = b"--outer--\r\n") -> bytes:
    """A letter in which this line stands before the program's part."""
    return _declared(declared, b"--outer\r\n" + TEXT + line + program() + b"\r\n" + end)


for _name, _technique, _line in (
    ("trailing-spaces", "spaces behind the boundary", b"--outer  \t\r\n"),
    ("trailing-words", "words behind the boundary", b"--outer and more\r\n"),
    ("prefix", "a line that only begins with the boundary", b"--outerx\r\n"),
    ("leading-space", "a space before the boundary", b" --outer\r\n"),
    ("three-dashes", "a dash too many before the boundary", b"---outer\r\n"),
    ("one-dash", "a dash too few before the boundary", b"-outer\r\n"),
    ("lf", "LF behind the boundary", b"--outer\n"),
    ("cr", "CR behind the boundary", b"--outer\r"),
    ("nul-behind", "NUL behind the boundary", b"--outer\0\r\n"),
    ("closed-before", "the closing boundary before the last part", b"--outer--\r\n--outer\r\n"),
    ("closed-as-separator", "a closing boundary used as a separator", b"--outer--\r\n"),
    ("close-one-dash", "a separator with one dash behind it", b"--outer-\r\n"),
    ("close-spaced", "a closing boundary with a space in it", b"--outer --\r\n"),
    ("twice", "the boundary twice in a row", b"--outer\r\n--outer\r\n"),
    ("upper-case", "the boundary in capitals", b"--OUTER\r\n"),
    ("empty-line-behind", "two empty lines around the boundary", b"\r\n\r\n--outer\r\n"),
):
    boundaries.add(_name, _technique, partial(_separated, _line), PROGRAM)

for _name, _technique, _value, _written in (
    ("empty", "an empty boundary", b'""', b""),
    ("space-unquoted", "a boundary with a space that is not quoted", b"ou ter", b"ou"),
    ("space-unquoted-whole", "a boundary with a space, used whole", b"ou ter", b"ou ter"),
    ("trailing-space", "a boundary that ends in a space", b'"outer "', b"outer "),
    ("trailing-space-dropped", "a boundary that ends in a space, used without", b'"outer "', b"outer"),
    ("specials", "a boundary of special characters, not quoted", b"=_outer?:/", b"=_outer?:/"),
    ("semicolon-quoted", "a semicolon inside the quoted boundary", b'"out;er"', b"out;er"),
    ("semicolon-unquoted", "a semicolon inside a boundary without quotes", b"out;er", b"out"),
    ("eight-bit", "8-bit bytes in the boundary", b'"\xc3\xa9\xff"', b"\xc3\xa9\xff"),
    ("long", "a boundary of 900 letters", b'"' + b"a" * 900 + b'"', b"a" * 900),
    ("long-cut", "a boundary of 900 letters, cut to 70 by the reader", b'"' + b"a" * 900 + b'"', b"a" * 70),
    ("quote-inside", "an escaped quote inside the boundary", b'"out\\"er"', b'out"er'),
    ("parenthesis", "a parenthesis in an unquoted boundary", b"out(er", b"out(er"),
    ("parenthesis-cut", "a parenthesis in an unquoted boundary, read as a comment", b"out(er)x", b"outx"),
    ("dashes", "a boundary of dashes", b'"----"', b"----"),
    ("ends-in-dashes", "a boundary that ends in two dashes", b'"outer--"', b"outer--"),
    ("tab-inside", "a tab inside the quoted boundary", b'"ou\tter"', b"ou\tter"),
    ("folded-inside", "a fold inside the quoted boundary", b'"ou\r\n ter"', b"ou ter"),
    ("folded-inside-joined", "a fold inside the quoted boundary, joined without space", b'"ou\r\n ter"', b"outer"),
    ("nul-inside", "NUL inside the quoted boundary", b'"ou\0ter"', b"ou"),
):
    boundaries.add(
        _name, _technique, partial(_declared, _value, parts(TEXT, program(), boundary=_written)), PROGRAM
    )


@boundaries.case("no boundary is declared", PROGRAM | STOPPED)
def undeclared() -> bytes:
    return mail(part(b"Content-Type: multipart/mixed\r\n", parts(TEXT, program())))


@boundaries.case("another boundary is declared than is used", PROGRAM | STOPPED)
def declared_wrong() -> bytes:
    return _declared(b"other", parts(TEXT, program()))


@boundaries.case("the last part is not closed", PROGRAM)
def unterminated() -> bytes:
    return _declared(b"outer", parts(TEXT, program(), close=False))


@boundaries.case("the base64 is cut in the middle and nothing is closed", PROGRAM)
def cut() -> bytes:
    whole = _declared(b"outer", parts(TEXT, program(), close=False))
    return whole[:-4001]


@boundaries.case("the program stands before the first boundary, as a part of its own", PROGRAM)
def preamble() -> bytes:
    return _declared(b"outer", program() + b"\r\n" + parts(TEXT))


@boundaries.case("the program stands behind the closing boundary", PROGRAM)
def epilogue() -> bytes:
    return _declared(b"outer", parts(TEXT) + b"--outer\r\n" + program() + b"\r\n--outer--\r\n")


@boundaries.case("the epilogue has fields of its own and no boundary", PROGRAM)
def epilogue_bare() -> bytes:
    return _declared(b"outer", parts(TEXT) + program())


@boundaries.case("the inner boundary begins with the outer one", PROGRAM)
def inner_longer() -> bytes:
    return letter(multipart(TEXT, program(), boundary=b"outer1"))


@boundaries.case("the outer boundary begins with the inner one", PROGRAM)
def inner_shorter() -> bytes:
    inner = part(b"Content-Type: multipart/mixed; boundary=out\r\n", parts(TEXT, program(), boundary=b"out"))
    return _declared(b"outer", parts(TEXT, inner))


@boundaries.case("inner and outer multipart have the same boundary", PROGRAM)
def inner_same() -> bytes:
    return letter(multipart(TEXT, program()), TEXT)


@boundaries.case("the inner multipart is never closed", PROGRAM)
def inner_open() -> bytes:
    inner = part(
        b"Content-Type: multipart/mixed; boundary=inner\r\n",
        parts(TEXT, program(), boundary=b"inner", close=False),
    )
    return letter(inner, TEXT)


@boundaries.case("the inner boundary goes on behind the end of the outer one", PROGRAM)
def inner_crossing() -> bytes:
    inner = b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n" + TEXT
    return _declared(b"outer", parts(inner) + b"--inner\r\n" + program() + b"\r\n--inner--\r\n")


@boundaries.case("the boundary line stands inside the base64", PROGRAM)
def inside_base64() -> bytes:
    lines = program64().splitlines(keepends=True)
    body = b"".join(lines[:40]) + b"--outer-not\r\n" + b"".join(lines[40:])
    return letter(part(OCTETS + BASE64 + named(b"setup.exe"), body))


@boundaries.case("LF before the boundary, CRLF elsewhere", PROGRAM)
def lf_before() -> bytes:
    return letter(program()).replace(b"\r\n--outer", b"\n--outer")


@boundaries.case("the body follows the header without an empty line", PROGRAM)
def header_runs_into_body() -> bytes:
    return mail(MIXED + parts(TEXT, program()))


def _uuencoded(content: bytes, begin: bytes, *, end: bytes = b"`\r\nend\r\n") -> bytes:
    lines = [binascii.b2a_uu(content[at : at + 45], backtick=True) for at in range(0, len(content), 45)]
    return begin + b"\r\n" + b"".join(lines).replace(b"\n", b"\r\n") + end


def _text(body: bytes, fields: bytes = b"Content-Type: text/plain\r\n") -> bytes:
    return mail(part(fields, b"Please see below.\r\n\r\n" + body))


for _name, _technique, _begin in (
    ("ordinary", "a file written into the text as uuencode", b"begin 644 setup.exe"),
    ("mode-four", "a mode of four digits", b"begin 0644 setup.exe"),
    ("no-mode", "no mode", b"begin setup.exe"),
    ("spaces", "two spaces and a name in quotes", b'begin  666  "my setup.exe"'),
    ("upper", "begin in capitals", b"BEGIN 644 setup.exe"),
    ("no-name", "no name", b"begin 644"),
    ("tab", "tabs for spaces", b"begin\t644\tsetup.exe"),
):
    texts.add(
        f"uu-{_name}",
        _technique,
        partial(lambda begin: _text(_uuencoded(payloads.windows_program(), begin)), _begin),
        PROGRAM,
    )


@texts.case("uuencode that never ends", PROGRAM)
def uu_endless() -> bytes:
    return _text(_uuencoded(payloads.windows_program(), b"begin 644 setup.exe", end=b""))


@texts.case("uuencode whose lines lost their trailing spaces", PROGRAM)
def uu_trimmed() -> bytes:
    lines = [binascii.b2a_uu(each).rstrip() for each in _chunks(payloads.windows_program(), 45)]
    return _text(b"begin 644 setup.exe\r\n" + b"\r\n".join(lines) + b"\r\n \r\nend\r\n")


@texts.case("the second of two files in one text", PROGRAM)
def uu_second() -> bytes:
    first = _uuencoded(b"Good morning\n", b"begin 644 hello.txt")
    return _text(first + _uuencoded(payloads.windows_program(), b"begin 644 setup.exe"))


@texts.case("uuencode in a text that is quoted-printable", PROGRAM)
def uu_in_qp() -> bytes:
    body = quoted(b"Hello\r\n" + _uuencoded(payloads.windows_program(), b"begin 644 setup.exe"))
    return mail(part(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n", body))


@texts.case("uuencode in a text that is base64", PROGRAM)
def uu_in_base64() -> bytes:
    body = b64(b"Hello\r\n" + _uuencoded(payloads.windows_program(), b"begin 644 setup.exe"))
    return mail(part(b"Content-Type: text/plain\r\n" + BASE64, body))


@texts.case("uuencode in one form of an alternative", PROGRAM)
def uu_in_alternative() -> bytes:
    body = _uuencoded(payloads.windows_program(), b"begin 644 setup.exe")
    return mail(multipart(part(b"Content-Type: text/plain\r\n", body), TEXT, kind=b"alternative"))


@texts.case("uuencode as a transfer encoding", PROGRAM)
def uu_declared() -> bytes:
    fields = OCTETS + b"Content-Transfer-Encoding: x-uuencode\r\n" + named(b"setup.exe")
    return letter(part(fields, _uuencoded(payloads.windows_program(), b"begin 644 setup.exe")))


@texts.case("uuencode as a transfer encoding under another of its names", PROGRAM)
def uu_declared_uue() -> bytes:
    fields = OCTETS + b"Content-Transfer-Encoding: x-uue\r\n" + named(b"setup.exe")
    return letter(part(fields, _uuencoded(payloads.windows_program(), b"begin 644 setup.exe")))


@texts.case("uuencode in the preamble", PROGRAM)
def uu_in_preamble() -> bytes:
    body = _uuencoded(payloads.windows_program(), b"begin 644 setup.exe")
    return mail(part(MIXED, body + b"\r\n" + parts(TEXT)))


@texts.case("uuencode in an attached .eml-less text file with a name", PROGRAM)
def uu_in_file() -> bytes:
    return attached(_uuencoded(payloads.windows_program(), b"begin 644 setup.exe"), b"setup.uue", b"text/plain")


@texts.case("uuencode of a batch file, known by its name alone", SCRIPT)
def uu_batch() -> bytes:
    return _text(_uuencoded(payloads.BATCH, b"begin 644 run.bat"))


@texts.case("begin-base64, the newer form of uuencode", PROGRAM)
def uu_begin_base64() -> bytes:
    return _text(b"begin-base64 644 setup.exe\r\n" + program64() + b"====\r\n")


@texts.case("a message without any MIME fields that holds uuencode", PROGRAM)
def uu_without_mime() -> bytes:
    top = b"From: a@sender.example\r\nTo: teacher@school.example\r\nSubject: file\r\n\r\n"
    return top + _uuencoded(payloads.windows_program(), b"begin 644 setup.exe")


def _yencoded(content: bytes, name: bytes = b"setup.exe", *, head: bytes = b"") -> bytes:
    letters = bytearray()
    for byte in content:
        code = (byte + 42) % 256
        letters += b"=%c" % ((code + 64) % 256) if code in b"\0\n\r=." else bytes([code])
    body = b"\r\n".join(_chunks(bytes(letters), 128))
    size = len(content)
    return b"=ybegin %sline=128 size=%d name=%s\r\n%s\r\n=yend size=%d crc32=%08x\r\n" % (
        head, size, name, body, size, zlib.crc32(content),
    )  # fmt: skip


def _chunks(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@texts.case("a file written into the text as yEnc", PROGRAM)
def yenc() -> bytes:
    return _text(_yencoded(payloads.windows_program()), b"Content-Type: text/plain; charset=latin1\r\n")


@texts.case("yEnc in a part of its own with yEnc as its encoding", PROGRAM)
def yenc_declared() -> bytes:
    fields = OCTETS + b"Content-Transfer-Encoding: x-yenc\r\n" + named(b"setup.exe")
    return letter(part(fields, _yencoded(payloads.windows_program())))


_HQX = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"


def _binhex(name: bytes, content: bytes) -> bytes:
    """BinHex 4.0 (RFC 1741), its checks left at zero; decoders of mail clients do not look at them."""
    head = bytes([len(name)]) + name + b"\0" + b"APPL????" + b"\0\0" + len(content).to_bytes(4, "big") + bytes(4)
    data = (head + b"\0\0" + content + b"\0\0" + b"\0\0").replace(b"\x90", b"\x90\0")
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 6)
    letters = bytes(_HQX[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))
    return (
        b"(This file must be converted with BinHex 4.0)\r\n\r\n:" + b"\r\n".join(_chunks(letters, 64)) + b":\r\n"
    )


@texts.case("a Mac file in BinHex", PROGRAM | STOPPED)
def binhex() -> bytes:
    fields = b"Content-Type: application/mac-binhex40; name=setup.exe\r\n"
    return letter(part(fields, _binhex(b"setup.exe", payloads.windows_program())))


@texts.case("BinHex in an attached .hqx file", PROGRAM | STOPPED)
def binhex_attached() -> bytes:
    return attached(_binhex(b"setup.exe", payloads.windows_program()), b"setup.hqx")


@texts.case("an AppleSingle file with a program as its data fork", PROGRAM | STOPPED)
def applesingle() -> bytes:
    content = payloads.windows_program()
    head = b"\0\x05\x16\0\0\x02\0\0" + bytes(16) + b"\0\x01" + (1).to_bytes(4, "big") + (38).to_bytes(4, "big")
    return attached(head + len(content).to_bytes(4, "big") + content, b"setup", b"application/applefile")


@messages.case("a message inside the message", PROGRAM)
def forwarded() -> bytes:
    return letter(part(b"Content-Type: message/rfc822\r\n", letter_inside()))


def letter_inside() -> bytes:
    """A whole letter with a program, with boundaries of its own."""
    return mail(multipart(TEXT, program(), boundary=b"inside"))


@messages.case("a message in base64", PROGRAM)
def in_base64() -> bytes:
    return letter(part(b"Content-Type: message/rfc822\r\n" + BASE64, b64(letter_inside())))


@messages.case("a message in quoted-printable", PROGRAM)
def in_qp() -> bytes:
    fields = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    return letter(part(fields, quoted(letter_inside())))


@messages.case("a message under a file's type, named .eml", PROGRAM)
def as_eml() -> bytes:
    return attached(letter_inside(), b"note.eml")


@messages.case("a message under a file's type, without a name that says so", PROGRAM | STOPPED)
def as_unnamed() -> bytes:
    return attached(letter_inside(), b"note")


@messages.case("a message in a zip in a message", PROGRAM)
def eml_in_zip_in_eml() -> bytes:
    packed = zipped({"note.eml": letter_inside()})
    inner = mail(multipart(TEXT, file(packed, b"notes.zip"), boundary=b"middle"))
    return attached(inner, b"fwd.eml", b"message/rfc822")


@messages.case("a message of the global kind (RFC 6532)", PROGRAM)
def global_message() -> bytes:
    return letter(part(b"Content-Type: message/global\r\n", letter_inside()))


@messages.case("a message of the news kind", PROGRAM)
def news() -> bytes:
    return letter(part(b"Content-Type: message/news\r\n", letter_inside()))


@messages.case("a digest, whose parts are messages without being told so", PROGRAM)
def digest() -> bytes:
    return mail(multipart(b"\r\n" + letter_inside(), kind=b"digest"))


@messages.case("a bounce that brings the whole message back", PROGRAM)
def bounce() -> bytes:
    status = part(b"Content-Type: message/delivery-status\r\n", b"Action: failed\r\nStatus: 5.1.1\r\n")
    return mail(
        multipart(TEXT, status, part(b"Content-Type: message/rfc822\r\n", letter_inside()), kind=b"report")
    )


@messages.case("the second piece of three of a message", STOPPED)
def partial_message() -> bytes:
    return mail(part(b'Content-Type: message/partial; id="a@b"; number=2; total=3\r\n', program64()))


@messages.case("the first piece of a message, in capitals and with a comment", STOPPED)
def partial_odd() -> bytes:
    return mail(part(b"Content-Type: MESSAGE/(c)Partial; id=a; number=1; total=1\r\n", letter_inside()))


@messages.case("a part that lies on a server elsewhere", STOPPED)
def external_body() -> bytes:
    fields = b'Content-Type: message/external-body; access-type=URL; URL="http://files.invalid/setup.exe"\r\n'
    return letter(part(fields, OCTETS + b"\r\n"))


@messages.case("ten messages inside one another", PROGRAM | STOPPED)
def nested() -> bytes:
    entity = program()
    for _ in range(10):
        entity = part(b"Content-Type: message/rfc822\r\n", mail(entity))
    return mail(entity)


@messages.case("a message that is signed and so packed (S/MIME opaque)", PROGRAM)
def smime_opaque() -> bytes:
    packed = signing.opaque(multipart(TEXT, program(), boundary=b"inside"))
    fields = b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
    return mail(part(fields + BASE64 + named(b"smime.p7m"), b64(packed)))


@messages.case("an opaque signed message under a file's type", PROGRAM)
def smime_as_file() -> bytes:
    return attached(signing.opaque(multipart(TEXT, program(), boundary=b"inside")), b"smime.p7m")


@messages.case("an opaque signed message inside another", PROGRAM)
def smime_twice() -> bytes:
    inner = signing.opaque(multipart(TEXT, program(), boundary=b"inside"))
    fields = b"Content-Type: application/x-pkcs7-mime; smime-type=signed-data\r\n"
    outer = signing.opaque(part(fields + BASE64, b64(inner)))
    return mail(part(fields + BASE64, b64(outer)))


@messages.case("an encrypted message (S/MIME)", ENCRYPTED)
def smime_encrypted() -> bytes:
    packed = signing.enveloped(multipart(TEXT, program(), boundary=b"inside"))
    fields = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
    return mail(part(fields + BASE64 + named(b"smime.p7m"), b64(packed)))


@messages.case("a signed file of the .p7s kind that holds the program itself", PROGRAM | STOPPED)
def p7m_of_file() -> bytes:
    return attached(signing.opaque(payloads.windows_program()), b"setup.exe.p7m", b"application/pkcs7-mime")


@messages.case("a message encrypted with PGP/MIME", ENCRYPTED)
def pgp_mime() -> bytes:
    version = part(b"Content-Type: application/pgp-encrypted\r\n", b"Version: 1\r\n")
    body = part(OCTETS + named(b"encrypted.asc"), signing.armoured(b"\x85\x01\x0c\x03" + bytes(range(200))))
    return mail(multipart(version, body, kind=b'encrypted; protocol="application/pgp-encrypted"'))


@messages.case("a program packed by OpenPGP without any encryption", PROGRAM | STOPPED | ENCRYPTED)
def pgp_literal() -> bytes:
    content = payloads.windows_program()
    literal = b"b\x09setup.exe" + bytes(4) + content
    return attached(b"\xcb\xff" + len(literal).to_bytes(4, "big") + literal, b"setup.exe.gpg", b"application/pgp")


@messages.case("a detached signature around a letter with a program", PROGRAM)
def signed_detached() -> bytes:
    body = multipart(TEXT, program(), boundary=b"inside")
    signature = part(b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n" + BASE64, b64(b"0\x80" * 40))
    return mail(multipart(body, signature, kind=b"signed"))
