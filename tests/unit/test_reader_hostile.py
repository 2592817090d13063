"""Every way known to us of hiding a program from a gateway while some mail client still hands it to its user.

The cases come from the openings of draft-chen-email-mime-ambiguity-defense and RFC 7103, from public reports by
users of mail programs and filters, and from what we know of mail programs ourselves; each is written anew. A case
names the message, the name the program must be found under, and the defects that must be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.messages import (
    HEADER,
    PROGRAM,
    b64,
    file_part,
    found,
    message,
    multipart,
    quoted,
    text_part,
    uu,
    yenc,
)

from gatepost_config import settings
from gatepost_milter.inspection import reader
from gatepost_milter.inspection.defects import DEFECTS
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.spool import Spool

LIMITS = settings.Inspection()
MAX_PARTS = 2000


@dataclass(frozen=True)
class Case:
    """One hostile message, what must be found in it, and which defect must be named (empty: none is needed)."""

    id: str
    message: bytes
    name: str = "setup.exe"
    defect: str = ""


def _one(part: bytes) -> bytes:
    """A message with a text and the part under test."""
    return message(multipart(text_part(), part))


def _typed(value: bytes, body: bytes | None = None) -> bytes:
    """A message whose Content-Type is ``value`` and whose body is split by ``outer``."""
    usual = b"--outer\r\n" + text_part() + b"--outer\r\n" + file_part() + b"--outer--\r\n"
    return message(b"Content-Type: " + value + b"\r\n\r\n" + (usual if body is None else body))


def _disposition(value: bytes) -> bytes:
    return _one(
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; " + value + b"\r\n\r\n" + b64()
    )


def _encoded(fields: bytes, body: bytes) -> bytes:
    return _one(
        b'Content-Type: application/octet-stream; name="setup.exe"\r\n' + fields + b"\r\n" + body + b"\r\n"
    )


_B64 = b64()
_HALF = len(_B64) // 2 // 78 * 78
_INNER = multipart(file_part(), boundary=b"inner")

ENCODINGS = [
    Case("encoding-twice-base64-first", _encoded(
        b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: quoted-printable\r\n", _B64),
        defect="encoding-conflict"),
    Case("encoding-twice-base64-last", _encoded(
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n", _B64),
        defect="encoding-conflict"),
    Case("encoding-in-comment", _encoded(b"Content-Transfer-Encoding: (base64) 7bit\r\n", _B64),
        defect="encoding-conflict"),
    Case("encoding-after-comment", _encoded(b"Content-Transfer-Encoding: (7bit) base64\r\n", _B64)),
    Case("encoding-before-comment", _encoded(b"Content-Transfer-Encoding: base64 (really)\r\n", _B64)),
    Case("encoding-nested-comment", _encoded(b"Content-Transfer-Encoding: (a(b)c)base64\r\n", _B64)),
    Case("encoding-in-quotes", _encoded(b'Content-Transfer-Encoding: "base64"\r\n', _B64)),
    Case("encoding-upper-case", _encoded(b"CONTENT-TRANSFER-ENCODING:BASE64\r\n", _B64)),
    Case("encoding-folded", _encoded(b"Content-Transfer-Encoding:\r\n base64\r\n", _B64)),
    Case("encoding-folded-inside", _encoded(b"Content-Transfer-Encoding: base\r\n 64\r\n", _B64)),
    Case("encoding-trailing-semicolon", _encoded(b"Content-Transfer-Encoding: base64;\r\n", _B64)),
    Case("encoding-trailing-junk", _encoded(b"Content-Transfer-Encoding: base64 foo\r\n", _B64),
        defect="encoding-unknown"),
    Case("encoding-misspelt", _encoded(b"Content-Transfer-Encoding: base-64\r\n", _B64),
        defect="encoding-unknown"),
    Case("encoding-unknown-base64", _encoded(b"Content-Transfer-Encoding: foo\r\n", _B64),
        defect="encoding-unknown"),
    Case("encoding-unknown-quoted", _encoded(b"Content-Transfer-Encoding: foo\r\n", quoted()),
        defect="encoding-unknown"),
    Case("encoding-stacked", _encoded(b"Content-Transfer-Encoding: quoted-printable, base64\r\n", _B64),
        defect="encoding-conflict"),
    Case("encoding-encoded-word", _encoded(b"Content-Transfer-Encoding: =?us-ascii?B?YmFzZTY0?=\r\n", _B64),
        defect="encoding-conflict"),
    Case("encoding-name-with-space", _encoded(b"Content-Transfer-Encoding : base64\r\n", _B64),
        defect="header-spacing"),
    Case("encoding-name-with-tab", _encoded(b"Content-Transfer-Encoding\t: base64\r\n", _B64)),
    Case("encoding-name-with-comment", _encoded(b"Content-Transfer-Encoding (x): base64\r\n", _B64)),
    Case("encoding-name-with-nul", _encoded(b"Content-Transfer-\0Encoding: base64\r\n", _B64),
        defect="header-control"),
    Case("encoding-value-with-nul", _encoded(b"Content-Transfer-Encoding: base\x0064\r\n", _B64),
        defect="header-control"),
    Case("encoding-after-bare-cr", _encoded(b"X-Note: a\rContent-Transfer-Encoding: base64\r\n", _B64),
        defect="header-control"),
    Case("encoding-missing", _encoded(b"", _B64), defect="base64-undeclared"),
    Case("encoding-x-uuencode", _encoded(b"Content-Transfer-Encoding: x-uuencode\r\n", uu())),
    Case("encoding-uue-without-begin", _encoded(
        b"Content-Transfer-Encoding: x-uue\r\n", uu().partition(b"\n")[2])),
    Case("encoding-quoted-printable", _encoded(b"Content-Transfer-Encoding: quoted-printable\r\n", quoted())),
    Case("encoding-quoted-lower-case", _encoded(
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"".join(b"=%02x" % byte + (b"=\r\n" if at % 20 == 19 else b"") for at, byte in enumerate(PROGRAM)))),
    Case("encoding-quoted-spaced-break", _encoded(
        b"Content-Transfer-Encoding: quoted-printable\r\n", quoted().replace(b"=\r\n", b"= \t\r\n"))),
    Case("encoding-quoted-broken-escape", _encoded(
        b"Content-Transfer-Encoding: quoted-printable\r\n", quoted().replace(b"=\r\n", b"=\r\n=", 1))),
]  # fmt: skip

BASE64 = [
    Case("base64-junk-between", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", _B64[:40] + b"!@#$%^&*(){}" + _B64[40:])),
    Case("base64-junk-line-first", _encoded(b"Content-Transfer-Encoding: base64\r\n", b"{}.,;:\r\n" + _B64)),
    Case("base64-text-line-first", _encoded(b"Content-Transfer-Encoding: base64\r\n",
        b"*** hello ***\r\n" + _B64)),
    Case("base64-text-line-inside", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", _B64[:_HALF] + b"- hello, there -\r\n" + _B64[_HALF:])),
    Case("base64-8-bit-junk", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", b"".join(bytes([0xC0, byte]) for byte in _B64))),
    Case("base64-nul-junk", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", b"".join(bytes([0, byte]) for byte in _B64))),
    Case("base64-early-padding", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", b64(PROGRAM[:100]) + b64(PROGRAM[100:]))),
    Case("base64-padding-ignored", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", _B64[:41] + b"=" + _B64[41:])),
    Case("base64-padding-everywhere", _encoded(
        b"Content-Transfer-Encoding: base64\r\n",
        b"".join(b64(PROGRAM[at : at + 1]).strip() for at in range(len(PROGRAM))))),
    Case("base64-padding-missing", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", b64(PROGRAM).replace(b"=", b""))),
    Case("base64-padding-first", _encoded(b"Content-Transfer-Encoding: base64\r\n", b"====\r\n" + _B64)),
    Case("base64-odd-lines", _encoded(
        b"Content-Transfer-Encoding: base64\r\n",
        b"\r\n".join(_B64.replace(b"\r\n", b"")[at : at + 7] for at in range(0, len(_B64), 7)))),
    Case("base64-lines-end-with-bits", _encoded(
        b"Content-Transfer-Encoding: base64\r\n",
        b"\r\n".join(b64(PROGRAM[at : at + 4]).strip().rstrip(b"=") for at in range(0, len(PROGRAM), 4)))),
    Case("base64-one-line", _encoded(b"Content-Transfer-Encoding: base64\r\n", _B64.replace(b"\r\n", b""))),
    Case("base64-spaces", _encoded(b"Content-Transfer-Encoding: base64\r\n", b" ".join(_B64.split()) + b"\r\n")),
    Case("base64-bare-cr", _encoded(b"Content-Transfer-Encoding: base64\r\n", _B64.replace(b"\r\n", b"\r"))),
    Case("base64-bare-lf", _encoded(b"Content-Transfer-Encoding: base64\r\n", _B64.replace(b"\r\n", b"\n"))),
    Case("base64-url-alphabet", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", _B64.replace(b"+", b"-").replace(b"/", b"_"))),
    Case("base64-trailing-text", _encoded(
        b"Content-Transfer-Encoding: base64\r\n", _B64.rstrip() + b"==\r\n\r\n_____\r\nfooter of a list\r\n")),
]  # fmt: skip

NAMES = [
    Case("name-only-in-type", _one(
        b"Content-Type: application/pdf; name=setup.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _B64)),
    Case("name-in-type-differs", _one(
        b'Content-Type: application/pdf; name="setup.exe"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="report.pdf"\r\n\r\n' + _B64), defect="names-conflict"),
    Case("name-twice", _disposition(b'filename="report.pdf"; filename="setup.exe"'), defect="names-conflict"),
    Case("name-plain-and-extended", _disposition(
        b"filename=\"report.pdf\"; filename*=utf-8''setup.exe"), defect="names-conflict"),
    Case("name-extended", _disposition(b"filename*=utf-8''s%65tup%2Eexe")),
    Case("name-extended-utf-16", _disposition(b"filename*=utf-16-le''s%00e%00t%00u%00p%00.%00e%00x%00e%00")),
    Case("name-extended-utf-7", _disposition(b"filename*=utf-7''setup+AC4-exe")),
    Case("name-extended-without-charset", _disposition(b"filename*=''setup.exe")),
    Case("name-extended-no-apostrophes", _disposition(b"filename*=setup%2Eexe")),
    Case("name-extended-quoted", _disposition(b"filename*=\"utf-8''setup.exe\"")),
    Case("name-split", _disposition(b'filename*0="setup"; filename*1=".exe"')),
    Case("name-split-encoded", _disposition(b"filename*0*=utf-8''set; filename*1=up; filename*2*=%2Eexe")),
    Case("name-split-backwards", _disposition(b'filename*1=".exe"; filename*0="setup"')),
    Case("name-split-with-gap", _disposition(b'filename*0="setup.exe"; filename*2=".txt"')),
    Case("name-split-starts-at-one", _disposition(b'filename*1="setup"; filename*2=".exe"')),
    Case("name-split-twice-first-wins", _disposition(
        b'filename*0="setup"; filename*1=".exe"; filename*1=".txt"')),
    Case("name-split-twice-last-wins", _disposition(
        b'filename*0="setup"; filename*1=".txt"; filename*1=".exe"')),
    Case("name-split-leading-zero", _disposition(b'filename*00="setup"; filename*01=".exe"')),
    Case("name-split-folded-exim", _disposition(
        b"\r\n filename*0*=iso-8859-1''setu;\r\n filename*1=p.exe")),
    Case("name-split-spaces", _disposition(b'filename *0 = "setup" ; filename *1 = ".exe"')),
    Case("name-encoded-word", _disposition(b'filename="=?utf-8?B?c2V0dXAuZXhl?="')),
    Case("name-encoded-word-bare", _disposition(b"filename==?utf-8?Q?setup=2Eexe?=")),
    Case("name-encoded-words-two", _disposition(
        b'filename="=?utf-8?Q?setup=2E?= =?utf-8?Q?exe?="')),
    Case("name-encoded-word-folded", _disposition(
        b'filename="=?utf-8?Q?setup?=\r\n\t=?utf-8?Q?=2Eexe?="')),
    Case("name-encoded-word-in-extended", _disposition(b"filename*=\"=?utf-8?Q?setup=2Eexe?=\"")),
    Case("name-no-quotes-with-space", _disposition(b"filename=my setup.exe"), name="my setup.exe"),
    Case("name-quote-missing-at-end", _disposition(b'filename="setup.exe')),
    Case("name-quote-missing-at-start", _disposition(b'filename=setup.exe"')),
    Case("name-single-quotes", _disposition(b"filename='setup.exe'")),
    Case("name-after-quotes", _disposition(b'filename="setup".exe')),
    Case("name-quoted-pairs", _disposition(b'filename="\\s\\e\\t\\u\\p.\\e\\x\\e"')),
    Case("name-escaped-quote", _disposition(b'filename="a\\"; filename=setup.exe; x=\\""')),
    Case("name-inside-comment", _disposition(b"x=y (filename=setup.exe)")),
    Case("name-after-comment", _disposition(b"(a;b=\"c) filename=setup.exe")),
    Case("name-comment-inside", _disposition(b"filename=(report.pdf)setup.exe")),
    Case("name-equals-spaced", _disposition(b'filename = "setup.exe"')),
    Case("name-equals-folded", _disposition(b'filename=\r\n "setup.exe"')),
    Case("name-semicolons-doubled", _disposition(b';; ;filename="setup.exe"')),
    Case("name-semicolon-missing", _disposition(b'size=3 filename="setup.exe"')),
    Case("name-semicolon-inside", _disposition(b'filename="report;setup.exe"'), name="report;setup.exe"),
    Case("name-comma-for-semicolon", _disposition(b'size=3, filename="setup.exe"')),
    Case("name-unix-mode-mailscanner", _one(
        b'Content-Type: application/zip; x-unix-mode=0600;\r\nname="setup.exe"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + _B64), name=""),
    Case("name-newline-inside", _disposition(b'filename="setup\r\n .exe"')),
    Case("name-nul-cut", _disposition(b'filename="setup.exe\0.txt"'), defect="header-control"),
    Case("name-bare-cr", _disposition(b'filename="setup.exe\r.txt"'), defect="header-control"),
    Case("name-tab", _disposition(b'filename="setup\t.exe"')),
    Case("name-percent", _disposition(b'filename="setup%2eexe"')),
    Case("name-folders", _disposition(b'filename="..\\\\..\\\\setup.exe"')),
    Case("name-trailing-dots", _disposition(b'filename="setup.exe. . ."')),
    Case("name-stream", _disposition(b'filename="setup.exe::$DATA"')),
    Case("name-8-bit", _disposition("filename=\"s\u200betup.exe\"".encode())),
    Case("name-override", _disposition(b"filename*=utf-8''%E2%80%AEsetup.exe")),
    Case("name-full-width", _disposition("filename=\"ｓｅｔｕｐ．ｅｘｅ\"".encode())),
    Case("name-from-description", _one(
        b"Content-Type: application/octet-stream\r\nContent-Description: setup.exe\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + _B64)),
    Case("name-from-location", _one(
        b"Content-Type: application/octet-stream\r\nContent-Location: http://x.example/a/setup.exe?b\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + _B64)),
    Case("no-name", _one(
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _B64), name=""),
    Case("name-disposition-twice", _one(
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: inline; filename=report.pdf\r\n"
        b"Content-Disposition: attachment; filename=setup.exe\r\n\r\n" + _B64), defect="names-conflict"),
]  # fmt: skip

BOUNDARIES = [
    Case("boundary-bare", _typed(b"multipart/mixed; boundary=outer")),
    Case("boundary-upper-case-words", _typed(b"MULTIPART/MIXED; BOUNDARY=outer")),
    Case("boundary-twice-first", _typed(b"multipart/mixed; boundary=outer; boundary=other")),
    Case("boundary-twice-last", _typed(b"multipart/mixed; boundary=other; boundary=outer")),
    Case("boundary-twice-both", _typed(
        b"multipart/mixed; boundary=nice; boundary=outer",
        b"--nice\r\n" + text_part() + b"--nice--\r\n--outer\r\n" + file_part() + b"--outer--\r\n"),
        defect="boundary-ambiguous"),
    Case("boundary-comment-before", _typed(b"multipart/mixed; (boundary=other) boundary=outer")),
    Case("boundary-comment-inside", _typed(b"multipart/mixed; boundary=outer(comment)")),
    Case("boundary-comment-in-name", _typed(b"multipart/mixed; boundary(x)=outer")),
    Case("boundary-comment-in-type", _typed(b"(text/plain) multipart/(x)mixed; boundary=outer")),
    Case("boundary-split", _typed(b"multipart/mixed; boundary*0=ou; boundary*1=ter")),
    Case("boundary-extended", _typed(b"multipart/mixed; boundary*=us-ascii''o%75ter")),
    Case("boundary-split-and-plain", _typed(
        b"multipart/mixed; boundary=other; boundary*0=ou; boundary*1=ter")),
    Case("boundary-quote-missing", _typed(b'multipart/mixed; boundary="outer')),
    Case("boundary-quote-escaped", _typed(b'multipart/mixed; boundary="o\\u\\t\\e\\r"')),
    Case("boundary-single-quotes", _typed(b"multipart/mixed; boundary='outer'")),
    Case("boundary-spaces-unquoted", _typed(
        b"multipart/mixed; boundary=ou ter",
        b"--ou ter\r\n" + file_part() + b"--ou ter--\r\n")),
    Case("boundary-cut-at-space", _typed(b"multipart/mixed; boundary=outer foo")),
    Case("boundary-equals-spaced", _typed(b"multipart/mixed; boundary = outer")),
    Case("boundary-leading-space", _typed(
        b'multipart/mixed; boundary=" outer"', b"-- outer\r\n" + file_part() + b"-- outer--\r\n")),
    Case("boundary-leading-space-only-declared", _typed(b'multipart/mixed; boundary=" outer"')),
    Case("boundary-trailing-space", _typed(b'multipart/mixed; boundary="outer  "')),
    Case("boundary-line-trailing-space", message(multipart(text_part(), file_part())
        .replace(b"--outer\r\n", b"--outer \t\r\n"))),
    Case("boundary-line-trailing-junk", message(multipart(text_part(), file_part())
        .replace(b"--outer\r\nContent-Type: app", b"--outer junk\r\nContent-Type: app")),
        defect="boundary-prefix"),
    Case("boundary-line-other-case", message(multipart(text_part(), file_part())
        .replace(b"--outer\r\nContent-Type: app", b"--OUTER\r\nContent-Type: app")), defect="boundary-prefix"),
    Case("boundary-empty", _typed(b'multipart/mixed; boundary=""', b"--\r\n" + file_part() + b"----\r\n")),
    Case("boundary-missing", _typed(b"multipart/mixed"), defect="boundary-guessed"),
    Case("boundary-wrong", _typed(b"multipart/mixed; boundary=nowhere"), defect="boundary-guessed"),
    Case("boundary-semicolon-missing", _typed(b"multipart/mixed boundary=outer")),
    Case("boundary-comma", _typed(b"multipart/mixed, boundary=outer")),
    Case("boundary-folded", _typed(b"multipart/mixed;\r\n\tboundary=outer")),
    Case("boundary-folded-empty-line", _typed(b"multipart/mixed;\r\n \t\r\n boundary=outer")),
    Case("boundary-folded-inside-quotes", _typed(b'multipart/mixed; boundary="ou\r\n ter"',
        b"--ou ter\r\n" + file_part() + b"--ou ter--\r\n")),
    Case("boundary-nul", _typed(b"multipart/mixed; boundary=outer\0x")),
    Case("boundary-longer-than-70", _typed(
        b"multipart/mixed; boundary=" + b"x" * 100, b"--" + b"x" * 70 + b"\r\n" + file_part()),
        defect="boundary-prefix"),
    Case("boundary-prefix-of-inner", message(multipart(text_part(), b"\r\nhello\r\n--outer1\r\n" + file_part())),
        defect="boundary-prefix"),
    Case("boundary-same-inside", message(multipart(text_part(), multipart(file_part(), boundary=b"outer")))),
    Case("boundary-inner-unclosed", message(multipart(
        text_part(), multipart(file_part(), boundary=b"inner", close=False)))),
    Case("boundary-unclosed", message(multipart(text_part(), file_part(), close=False)),
        defect="multipart-unclosed"),
    Case("boundary-crossed", message(
        b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n"
        b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n" + text_part() + b"--outer\r\n\r\n"
        b"more text\r\n--inner\r\n" + file_part() + b"--inner--\r\n--outer--\r\n"), defect="boundary-crossed"),
    Case("boundary-after-close", message(multipart(text_part()) + b"--outer\r\n" + file_part() + b"--outer--\r\n"),
        defect="parts-outside"),
    Case("boundary-close-first", message(
        b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer--\r\n\r\n--outer\r\n" + file_part()
        + b"--outer--\r\n"), defect="parts-outside"),
    Case("boundary-bare-cr", message(
        b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r" + file_part().replace(b"\r\n", b"\r")
        + b"--outer--\r")),
    Case("boundary-bare-lf", message(multipart(text_part(), file_part())).replace(b"\r\n", b"\n")),
    Case("boundary-no-line-before", message(
        b"Content-Type: multipart/mixed; boundary=outer\r\n--outer\r\n" + file_part() + b"--outer--\r\n"),
        defect="type-conflict"),
    Case("preamble-parts", message(multipart(
        text_part(), preamble=b"--hidden\r\n" + file_part() + b"--hidden--\r\n")), defect="parts-outside"),
    Case("epilogue-parts", message(multipart(text_part()) + b"--hidden\r\n" + file_part() + b"--hidden--\r\n"),
        defect="parts-outside"),
    Case("preamble-uuencode", message(multipart(text_part(), preamble=uu())), defect="parts-outside"),
    Case("epilogue-uuencode", message(multipart(text_part()) + b"\r\n" + uu()), defect="parts-outside"),
    Case("epilogue-base64", message(multipart(text_part()) + b"\r\n" + _B64), name="", defect="parts-outside"),
]  # fmt: skip

TYPES = [
    Case("type-twice-multipart-first", _typed(
        b"multipart/mixed; boundary=outer\r\nContent-Type: text/plain"), defect="field-repeated"),
    Case("type-twice-multipart-last", _typed(
        b"text/plain\r\nContent-Type: multipart/mixed; boundary=outer"), defect="type-conflict"),
    Case("type-twice-boundaries", _typed(
        b"multipart/mixed; boundary=other\r\nContent-Type: multipart/mixed; boundary=outer"),
        defect="type-conflict"),
    Case("type-without-slash", _typed(b"multipart; boundary=outer")),
    Case("type-backslash", _typed(b"multipart\\mixed; boundary=outer")),
    Case("type-spaces", _typed(b"multipart / mixed ; boundary=outer")),
    Case("type-leading-semicolon", _typed(b"; multipart/mixed; boundary=outer")),
    Case("type-two-in-one", _typed(b"text/plain, multipart/mixed; boundary=outer")),
    Case("type-quoted", _typed(b'"multipart/mixed"; boundary=outer')),
    Case("type-encoded-word", _typed(b"=?us-ascii?Q?multipart/mixed?=; boundary=outer")),
    Case("type-folded-inside", _typed(b"multipart/\r\n mixed; boundary=outer")),
    Case("type-unknown-multipart", _typed(b"multipart/foo; boundary=outer")),
    Case("type-name-with-space", message(
        b"Content-Type : multipart/mixed; boundary=outer\r\n\r\n--outer\r\n" + file_part() + b"--outer--\r\n")),
    Case("type-after-junk-line", message(
        b"this is no field\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n" + file_part()
        + b"--outer--\r\n")),
    Case("type-before-junk-line", _one(
        b"Content-Type: application/octet-stream; name=setup.exe\r\nContent-Transfer-Encoding: base64\r\n"
        b"no field\r\n\r\n" + _B64), defect="header-junk"),
    Case("type-after-blank-of-spaces", message(
        b"X-Mailer: a\r\n  \r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n" + file_part()
        + b"--outer--\r\n")),
    Case("body-after-blank-of-spaces", _one(
        b"Content-Type: application/octet-stream; name=setup.exe\r\nContent-Transfer-Encoding: base64\r\n \r\n"
        + _B64), defect="header-blank"),
    Case("header-after-empty-line", _one(b"\r\n" + file_part()), defect="header-late"),
    Case("header-bare-cr-lines", _one(file_part().replace(b"\r\n", b"\r"))),
    Case("header-bare-cr-blank", _one(file_part().replace(b"\r\n\r\n", b"\r\r")), defect="header-control"),
    Case("header-lf-cr-blank", _one(file_part().replace(b"\r\n\r\n", b"\r\n\n"))),
    Case("header-mbox-line", _one(b"From somebody Mon Jan  1\r\n" + file_part())),
    Case("header-huge", _one(b"X-Pad: " + b"x " * 30000 + b"\r\n" + file_part())),
    Case("part-text-type-with-program", _one(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _B64), name=""),
    Case("part-type-garbage", _one(b"Content-Type: %%%\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _B64),
        name=""),
    Case("message-single-part", message(file_part())),
    Case("message-without-version", message(file_part(), header=b"From: a@b.example\r\n")),
    Case("message-only-lf", message(file_part()).replace(b"\r\n", b"\n")),
]  # fmt: skip

NESTING = [
    Case("nested-five", message(
        multipart(multipart(multipart(multipart(multipart(file_part(), boundary=b"a"), boundary=b"b"),
        boundary=b"c"), boundary=b"d"), boundary=b"e"))),
    Case("attached-message", _one(b"Content-Type: message/rfc822\r\n\r\n" + message(multipart(file_part())))),
    Case("attached-message-base64", _one(
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(message(multipart(file_part())))), defect="encoded-multipart"),
    Case("attached-message-quoted", _one(
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quoted(message(multipart(file_part())))), defect="encoded-multipart"),
    Case("attached-message-base64-undeclared", _one(
        b"Content-Type: message/rfc822\r\n\r\n" + b64(message(multipart(file_part()))))),
    Case("attached-message-as-program", _one(
        b"Content-Type: message/rfc822; name=setup.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _B64)),
    Case("attached-message-blank-first", _one(b"Content-Type: message/rfc822\r\n\r\n\r\n" + _INNER)),
    Case("attached-global", _one(b"Content-Type: message/global\r\n\r\n" + message(multipart(file_part())))),
    Case("digest-default", message(multipart(
        b"\r\n" + message(multipart(file_part(), boundary=b"inner")), kind=b"digest"))),
    Case("multipart-base64", message(
        b"Content-Type: multipart/mixed; boundary=inner\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(_INNER.partition(b"\r\n\r\n")[2])), defect="encoded-multipart"),
    Case("multipart-quoted", message(
        b"Content-Type: multipart/mixed; boundary=inner\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quoted(_INNER.partition(b"\r\n\r\n")[2]).replace(b"--inner", b"=2D-inner")), defect="encoded-multipart"),
    Case("multipart-declares-base64-but-is-not", message(
        b"Content-Transfer-Encoding: base64\r\n" + multipart(text_part(), file_part()))),
    Case("uuencode-in-text", message(b"\r\nDear all,\r\n\r\n" + uu()), defect="encoded-text-file"),
    Case("uuencode-in-text-crlf", message(b"\r\n" + uu().replace(b"\n", b"\r\n")), defect="encoded-text-file"),
    Case("uuencode-two-in-text", message(
        b"\r\n" + uu(b"harmless", b"a.txt") + b"and\r\n" + uu()), defect="encoded-text-file"),
    Case("uuencode-mode-four-digits", message(
        b"\r\n" + uu().replace(b"begin 644", b"begin 0644")), defect="encoded-text-file"),
    Case("uuencode-in-base64-text", message(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(uu()))),
    Case("uuencode-base64-begin", message(
        b"\r\nbegin-base64 644 setup.exe\r\n" + _B64 + b"====\r\n"), defect="encoded-text-file"),
    Case("yenc-in-text", message(b"\r\n" + yenc()), defect="encoded-text-file"),
]  # fmt: skip

CASES = [*ENCODINGS, *BASE64, *NAMES, *BOUNDARIES, *TYPES, *NESTING]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_program_is_found(case: Case) -> None:
    """What one mainstream client would hand to its user, no other client's strictness may hide from us."""
    programs = [each for each in found(case.message) if each.content.strip() == PROGRAM]
    names = [name for each in programs for name in each.names]
    assert programs
    assert not case.name or case.name in names


@pytest.mark.parametrize("case", [case for case in CASES if case.defect], ids=lambda case: case.id)
def test_the_defect_is_named(case: Case) -> None:
    """A policy can act on the trick itself, whatever the content turns out to be."""
    codes = {defect.code for defect in reader.read(case.message, max_parts=MAX_PARTS).defects}
    assert case.defect in codes
    assert codes <= set(DEFECTS)


@pytest.fixture(scope="module")
def inspectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspectors]:
    """Real inspector processes."""
    pool = Inspectors(LIMITS, tmp_path_factory.mktemp("scratch"))
    yield pool
    pool.close()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_program_is_seen_for_what_it_is(case: Case, inspectors: Inspectors) -> None:
    """Reader and inspectors together: a rule on programs catches every one of these messages."""
    result = inspect(Spool.of(case.message), inspectors=inspectors, limits=LIMITS, deadline=60)
    assert any(FileClass.EXECUTABLE in attachment.classes for attachment in result.attachments)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*ENCODINGS, *BASE64], ids=lambda case: case.id)
def test_the_program_is_seen_under_a_harmless_name(case: Case, inspectors: Inspectors) -> None:
    """Where the encoding is the trick, the content alone must give the program away."""
    data = case.message.replace(b"setup.exe", b"report.pdf")
    result = inspect(Spool.of(data), inspectors=inspectors, limits=LIMITS, deadline=60)
    assert any(FileClass.EXECUTABLE in attachment.classes for attachment in result.attachments)


@pytest.mark.parametrize(
    ("id_", "code"),
    [
        ("base64-early-padding", "base64-ambiguous"),
        ("base64-text-line-inside", "base64-ambiguous"),
        ("base64-url-alphabet", "base64-ambiguous"),
        ("encoding-quoted-broken-escape", "quoted-printable-broken"),
    ],
)
def test_repairs_that_differ_are_named(id_: str, code: str, inspectors: Inspectors) -> None:
    """Only decoding shows that clients would repair an encoding differently; it happens in the inspector."""
    case = next(case for case in CASES if case.id == id_)
    result = inspect(Spool.of(case.message), inspectors=inspectors, limits=LIMITS, deadline=60)
    assert code in {defect.code for defect in result.defects}


def test_the_header_field_order_is_not_believed() -> None:
    """The message's own header is the first reading's, whatever other readings make of it."""
    reading = reader.read(message(multipart(text_part())), max_parts=MAX_PARTS)
    assert reading.fields["subject"] == [b" Trip on Friday\r"]
    assert HEADER.count(b"\r\n") == 5
