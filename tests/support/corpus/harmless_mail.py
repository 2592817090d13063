"""Owns the shapes of harmless mail: what the mail programs of the world make of a text and an attachment."""

from __future__ import annotations

import base64
import binascii
import email.header
import quopri
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from support.corpus.harmless_files import WORDS
from support.corpus.shapes import b64

_HEAD = (
    "From: Alice Example <alice@sender.example>\r\n"
    "To: Teacher <teacher@school.example>\r\n"
    "Subject: {subject}\r\n"
    "Date: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
    "Message-ID: <{id}@sender.example>\r\n"
)
HTML = f"<html><head></head><body><p>{WORDS}</p><p>Alice</p></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to be sent: its name and media type as a mail program would know them."""

    name: str
    kind: str
    content: bytes


def head(subject: str = "Trip on Friday", number: int = 1) -> bytes:
    """The header that every message has."""
    return _HEAD.format(subject=subject, id=number).encode()


def _word(name: str) -> str:
    """A name as an encoded word if it needs one."""
    return name if name.isascii() else email.header.Header(name, "utf-8", maxlinelen=400).encode()


def _rfc2231(key: str, name: str) -> str:
    if name.isascii():
        return f'{key}="{name}"'
    return f"{key}*=UTF-8''{quote(name)}"


def _alternative(boundary: str) -> bytes:
    plain = quopri.encodestring(WORDS.encode()).replace(b"\n", b"\r\n")
    return (
        f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
        'Content-Type: text/plain; charset="UTF-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    ).encode() + plain + (
        f'\r\n--{boundary}\r\nContent-Type: text/html; charset="UTF-8"\r\n\r\n{HTML}\r\n--{boundary}--\r\n'
    ).encode()  # fmt: skip


def outlook(file: File) -> bytes:
    """Outlook through Exchange: name and filename as encoded words, a description, sizes and dates."""
    name, size = _word(file.name), len(file.content)
    top = "_004_AM0PR01MB1234567890ABCDEF_"
    return (
        head()
        + (
            "Thread-Topic: Trip on Friday\r\nThread-Index: AQHZAbCdEfGhIj==\r\nAccept-Language: en-GB, en-US\r\n"
            "Content-Language: en-GB\r\nX-MS-Has-Attach: yes\r\nX-MS-TNEF-Correlator:\r\n"
            "x-ms-exchange-antispam-messagedata-0: "
            "=?us-ascii?Q?" + "aB3" * 20 + "?=\r\n " + "=?us-ascii?Q?" + "x9" * 30 + "?=\r\n"
            f'Content-Type: multipart/mixed;\r\n\tboundary="{top}"\r\nMIME-Version: 1.0\r\n\r\n--{top}\r\n'
        ).encode()
        + _alternative("_000_AM0PR01MB1234567890ABCDEF_")
        + (
            f'\r\n--{top}\r\nContent-Type: {file.kind}; name="{name}"\r\nContent-Description: {name}\r\n'
            f'Content-Disposition: attachment; filename="{name}"; size={size};\r\n'
            '\tcreation-date="Mon, 02 Nov 2026 08:59:00 GMT";\r\n\tmodification-date="Mon, 02 Nov 2026 08:59:30 GMT"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + b64(file.content)
        + f"\r\n--{top}--\r\n".encode()
    )


def gmail(file: File) -> bytes:
    """Gmail on the web."""
    top = "000000000000a1b2c305f0e1d2c3"
    return (
        b"MIME-Version: 1.0\r\n"
        + head()
        + f'Content-Type: multipart/mixed; boundary="{top}"\r\n\r\n--{top}\r\n'.encode()
        + _alternative("000000000000a1b2c105f0e1d2c1")
        + (
            f'\r\n--{top}\r\nContent-Type: {file.kind}; name="{_word(file.name)}"\r\n'
            f'Content-Disposition: attachment; filename="{_word(file.name)}"\r\nContent-Transfer-Encoding: base64\r\n'
            "Content-ID: <f_lo1234567>\r\nX-Attachment-Id: f_lo1234567\r\n\r\n"
        ).encode()
        + b64(file.content)
        + f"--{top}--\r\n".encode()
    )


def apple(file: File) -> bytes:
    """Apple Mail: in line, with Unix modes, names as RFC 2231 values, the text behind the file."""
    top = "Apple-Mail=_12345678-ABCD-1234-ABCD-123456789ABC"
    return (
        head()
        + (
            f'Content-Type: multipart/mixed;\r\n\tboundary="{top}"\r\n'
            "Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3774.100.2.1.4\\))\r\nX-Mailer: Apple Mail (2.3774)\r\n\r\n\r\n"
            f"--{top}\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\n"
            f"Dear all,\r\n\r\n\r\n--{top}\r\nContent-Disposition: inline;\r\n\t{_rfc2231('filename', file.name)}\r\n"
            f'Content-Type: {file.kind};\r\n\tx-unix-mode=0644;\r\n\tname="{_word(file.name)}"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + b64(file.content, width=76)
        + f"\r\n--{top}\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\n\r\n\r\n".encode()
        + f"Alice\r\n\r\n\r\n--{top}--\r\n".encode()
    )


def thunderbird(file: File) -> bytes:
    """Thunderbird: a preamble, flowed text, RFC 2231 in the disposition."""
    top = "------------abcDEF0123456789"
    return (
        head()
        + (
            f'MIME-Version: 1.0\r\nUser-Agent: Mozilla Thunderbird\r\nContent-Language: en-GB\r\nContent-Type: multipart/mixed;\r\n boundary="{top}"\r\n\r\n'
            f"This is a multi-part message in MIME format.\r\n--{top}\r\n"
            f"Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{WORDS} caf\u00e9\r\n"
            f'--{top}\r\nContent-Type: {file.kind}; name="{_word(file.name)}"\r\n'
            f"Content-Disposition: attachment; {_rfc2231('filename', file.name)}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + b64(file.content, width=72)
        + f"\r\n--{top}--\r\n".encode()
    )


def php(file: File) -> bytes:
    """A form on a web site (PHP's mail): LF, no Message-ID, raw UTF-8 in the name, chunks of 76."""
    top = "==Multipart_Boundary_xd41d8cd98f00b204e9800998ecf8427ex"
    return (
        b"To: teacher@school.example\nSubject: Contact form\nFrom: web@sender.example\nX-PHP-Originating-Script: 0:mail.php\n"
        b"MIME-Version: 1.0\n"
        + f'Content-Type: multipart/mixed;\n boundary="{top}"\n\nThis is a multi-part message in MIME format.\n\n--{top}\n'.encode()
        + f'Content-Type: text/html; charset="iso-8859-1"\nContent-Transfer-Encoding: 7bit\n\n<b>{WORDS}</b>\n\n--{top}\n'.encode()
        + f'Content-Type: {file.kind};\n name="{file.name}"\nContent-Description: {file.name}\nContent-Disposition: attachment;\n filename="{file.name}"; size={len(file.content)};\nContent-Transfer-Encoding: base64\n\n'.encode()
        + b64(file.content, eol=b"\r\n")
        + f"\n\n--{top}--\n".encode()
    )


def lotus(file: File) -> bytes:
    """Lotus Notes: lower-case field names, a preamble, an odd boundary."""
    top = "0__=4EBBF123DFB12345678f9e8a93df938690918c4EBBF123DFB12345"
    return (
        head()
        + (
            f'MIME-Version: 1.0\r\nX-Mailer: Lotus Notes Release 8.5.3\r\nContent-type: multipart/mixed; \r\n\tBoundary="{top}"\r\n'
            f"Content-Disposition: inline\r\n\r\n--{top}\r\nContent-type: text/plain; charset=ISO-8859-1\r\n"
            "Content-transfer-encoding: quoted-printable\r\n\r\n\r\nDear all,=\r\n see attached\r\n\r\n"
            f'--{top}\r\nContent-type: {file.kind}; \r\n\tname="{_word(file.name)}"\r\n'
            f'Content-Disposition: attachment; filename="{_word(file.name)}"\r\nContent-ID: <1__=4EBBF@local>\r\nContent-transfer-encoding: base64\r\n\r\n'
        ).encode()
        + b64(file.content, width=72)
        + f"\r\n--{top}--\r\n\r\n".encode()
    )


def telephone(file: File) -> bytes:
    """An iPhone: the file first and in line, one line of text."""
    top = "Apple-Mail-12345678-1234-1234-1234-123456789012"
    return (
        f"Content-Type: multipart/mixed; boundary={top}\r\nContent-Transfer-Encoding: 7bit\r\n".encode()
        + head()
        + (
            f"Mime-Version: 1.0 (1.0)\r\nX-Mailer: iPhone Mail (21A350)\r\n\r\n\r\n--{top}\r\n"
            f"Content-Type: {file.kind};\r\n\tname={_word(file.name) if ' ' not in file.name and file.name.isascii() else chr(34) + _word(file.name) + chr(34)};\r\n\tx-apple-part-url=1234\r\n"
            f"Content-Disposition: inline;\r\n\t{_rfc2231('filename', file.name)}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + b64(file.content)
        + f"--{top}\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\r\n\r\nSent from my iPhone=\r\n\r\n--{top}--\r\n".encode()
    )


def copier(file: File) -> bytes:
    """A copier that scans to mail: no text, a single part, odd capitals."""
    return (
        head("Scan from the copier")
        + f'Mime-Version: 1.0\r\nContent-type: {file.kind}; name="{_word(file.name)}"\r\nContent-Transfer-Encoding: BASE64\r\nContent-Disposition: Attachment; Filename="{_word(file.name)}"\r\nX-Priority: 3\r\n\r\n'.encode()
        + b64(file.content, width=60)
    )


def javamail(file: File) -> bytes:
    """A server's reports (JavaMail): names in RFC 2047, parts without a charset."""
    top = "----=_Part_12345_987654321.1793610000000"
    return (
        head("Report")
        + (
            f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; \r\n\tboundary="{top}"\r\nAuto-Submitted: auto-generated\r\n\r\n--{top}\r\n'
            f"Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nReport attached\r\n--{top}\r\n"
            f'Content-Type: application/octet-stream; name="{_word(file.name)}"\r\nContent-Transfer-Encoding: base64\r\n'
            f'Content-Disposition: attachment; filename="{_word(file.name)}"\r\n\r\n'
        ).encode()
        + b64(file.content)
        + f"\r\n--{top}--\r\n".encode()
    )


def quoted(file: File) -> bytes:
    """An old program that sends files as quoted-printable, and forgets MIME-Version."""
    top = "=_mixed 0034A1B280257B3F_="
    return (
        head()
        + f'Content-Type: multipart/mixed; boundary="{top}"\r\n\r\n\r\n--{top}\r\nContent-Type: text/plain; charset="us-ascii"\r\n\r\nAttached.\r\n--{top}\r\n'.encode()
        + f'Content-Type: {file.kind}; name="{_word(file.name)}"\r\nContent-Disposition: attachment; filename="{_word(file.name)}"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'.encode()
        + binascii.b2a_qp(file.content, quotetabs=True, istext=False)
        .replace(b"\r\n", b"\n")
        .replace(b"\n", b"\r\n")
        + f"\r\n--{top}--\r\n".encode()
    )


def forwarded(file: File) -> bytes:
    """A mail that is forwarded as an attachment."""
    top = "----_=_NextPart_001_01DAABCD.12345678"
    return (
        head("FW: Trip on Friday")
        + f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{top}"\r\n\r\n--{top}\r\nContent-Type: text/plain\r\n\r\nSee below\r\n--{top}\r\n'.encode()
        + b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="Trip on Friday.eml"\r\n\r\n'
        + gmail(file)
        + f"\r\n--{top}--\r\n".encode()
    )


def newsletter(file: File) -> bytes:
    """A newsletter: related pictures beside the page, the file behind it, list headers."""
    dot = base64.b64encode(
        b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
    ).decode()
    return (
        head("School news")
        + (
            "List-Unsubscribe: <https://news.example.com/u/1>\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n--b1\r\nContent-Type: multipart/related; type="text/html"; boundary="b2"\r\n\r\n'
            "--b2\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            f'{HTML}<img src="cid:dot"><img src="https://news.example.com/o.gif" width=1>\r\n'
            f"--b2\r\nContent-Type: image/gif\r\nContent-ID: <dot>\r\nContent-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\n{dot}\r\n--b2--\r\n"
            f'--b1\r\nContent-Type: {file.kind}; name="{_word(file.name)}"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="{_word(file.name)}"\r\n\r\n'
        ).encode()
        + b64(file.content)
        + b"--b1--\r\n"
    )


CLIENTS: tuple[Callable[[File], bytes], ...] = (
    outlook, gmail, apple, thunderbird, php, lotus, telephone, copier, javamail, quoted, forwarded, newsletter,
)  # fmt: skip
