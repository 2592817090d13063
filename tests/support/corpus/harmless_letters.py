"""Owns harmless messages without files, or whose shape is the point: reports, signatures, digests, sloppy mail."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial

from support.corpus import harmless_files as files
from support.corpus import harmless_office as documents
from support.corpus import signing
from support.corpus.harmless_files import WORDS
from support.corpus.harmless_mail import HTML, File, gmail, head
from support.corpus.shapes import b64, part, parts


def plain(
    body: str, *, fields: str = "Content-Type: text/plain; charset=utf-8\r\n", subject: str = "Question"
) -> bytes:
    """A message of one text."""
    return head(subject) + b"MIME-Version: 1.0\r\n" + fields.encode() + b"\r\n" + body.encode()


def page(body: str) -> bytes:
    """A message of one page."""
    return plain(body, fields="Content-Type: text/html; charset=utf-8\r\n")


def _multi(kind: bytes, *each: bytes, fields: bytes = b"") -> bytes:
    return (
        head()
        + b"MIME-Version: 1.0\r\n"
        + fields
        + part(b"Content-Type: multipart/" + kind + b'; boundary="b"\r\n', parts(*each, boundary=b"b"))
    )


_TEXT = part(b"Content-Type: text/plain; charset=utf-8\r\n", WORDS.encode() + b"\r\n")
_HTML = part(b"Content-Type: text/html; charset=utf-8\r\n", HTML.encode() + b"\r\n")
_STATUS = part(
    b"Content-Type: message/delivery-status\r\n",
    b"Reporting-MTA: dns; mx.sender.example\r\n\r\nFinal-Recipient: rfc822; a@sender.example\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 unknown\r\n",
)
_RETURNED = b'From: teacher@school.example\r\nTo: a@sender.example\r\nSubject: Trip\r\nMessage-ID: <2@school.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n'
_RECEIPT = part(
    b"Content-Type: message/disposition-notification\r\n",
    b"Final-Recipient: rfc822; a@sender.example\r\nOriginal-Message-ID: <2@school.example>\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n",
)


def bounce() -> bytes:
    """A bounce that brings the header back."""
    return _multi(
        b"report; report-type=delivery-status",
        _TEXT,
        _STATUS,
        part(b"Content-Type: text/rfc822-headers\r\n", _RETURNED),
    )


def bounce_full() -> bytes:
    """A bounce that brings the whole message back, with its document."""
    whole = gmail(File(name="letter.docx", kind="application/octet-stream", content=documents.word()))
    return _multi(
        b"report; report-type=delivery-status", _TEXT, _STATUS, part(b"Content-Type: message/rfc822\r\n", whole)
    )


def bounce_cut() -> bytes:
    """A bounce that brings the message back, cut in the middle of an attachment, as many servers do."""
    whole = gmail(File(name="photo.jpg", kind="image/jpeg", content=files.picture("JPEG")))[:20_000]
    return _multi(
        b"report; report-type=delivery-status", _TEXT, _STATUS, part(b"Content-Type: message/rfc822\r\n", whole)
    )


def bounce_qmail() -> bytes:
    """A bounce of qmail: plain text with the message below."""
    return plain(
        "Hi. This is the qmail-send program.\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"
        + _RETURNED.decode()
        + "\r\n--x\r\nContent-Type: text/plain\r\n\r\nHello\r\n--x--\r\n"
    )


def receipt() -> bytes:
    """A reading receipt."""
    return _multi(b"report; report-type=disposition-notification", _TEXT, _RECEIPT)


def complaint() -> bytes:
    """A feedback report (ARF)."""
    feedback = part(
        b"Content-Type: message/feedback-report\r\n", b"Feedback-Type: abuse\r\nUser-Agent: a/1\r\nVersion: 1\r\n"
    )
    return _multi(
        b"report; report-type=feedback-report",
        _TEXT,
        feedback,
        part(b"Content-Type: message/rfc822\r\n", plain(WORDS)),
    )


def signed() -> bytes:
    """S/MIME with a detached signature."""
    signature = part(
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="smime.p7s"\r\n',
        b64(signing.detached(_TEXT)),
    )
    return _multi(b'signed; protocol="application/pkcs7-signature"; micalg=sha-256', _TEXT, signature)


def signed_opaque() -> bytes:
    """S/MIME, opaque, with nothing but a text and a document inside."""
    inner = part(
        b"Content-Type: multipart/mixed; boundary=i\r\n",
        parts(
            _TEXT,
            part(
                b"Content-Type: application/pdf; name=map.pdf\r\nContent-Transfer-Encoding: base64\r\n",
                b64(files.pdf_plain()),
            ),
            boundary=b"i",
        ),
    )
    return (
        head()
        + b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(signing.opaque(inner))
    )


def signed_pgp() -> bytes:
    """PGP/MIME with a detached signature."""
    signature = part(
        b'Content-Type: application/pgp-signature; name="signature.asc"\r\nContent-Description: OpenPGP digital signature\r\n',
        signing.armoured(b"\x88\x75\x04\x01" + bytes(range(110)), b"SIGNATURE"),
    )
    return _multi(b'signed; micalg=pgp-sha256; protocol="application/pgp-signature"', _TEXT, signature)


def signed_inline() -> bytes:
    """A text signed in line by OpenPGP."""
    return plain(
        "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n"
        + WORDS
        + "\r\n"
        + signing.armoured(bytes(range(90)), b"SIGNATURE").decode()
    )


def signed_dkim() -> bytes:
    """A message with the signatures and seals that mail collects on its way."""
    field = (
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n        d=sender.example; s=a; h=from:to:subject;\r\n        bh="
        + "A" * 43
        + "=;\r\n        b="
        + "\r\n         ".join(["Qk9" * 20] * 5)
        + "==\r\n"
    )
    seals = (
        field.replace("DKIM-Signature:", "ARC-Seal: i=1;")
        + field.replace("DKIM-Signature:", "ARC-Message-Signature: i=1;")
        + "ARC-Authentication-Results: i=1; mx.example; dkim=pass\r\nReceived: from a (b [192.0.2.1])\r\n\tby c with ESMTPS id 1\r\n\t(using TLSv1.3);\r\n\tMon, 2 Nov 2026 09:00:00 +0000\r\n"
    )
    return seals.encode() + plain(WORDS)


def digest() -> bytes:
    """A digest of a mailing list."""
    return _multi(b"digest", *(b"\r\n" + plain(f"{number} {WORDS}") for number in range(6)))


def digest_mailman() -> bytes:
    """Mailman's digest: contents, then messages, then a footer."""
    inner = part(
        b'Content-Type: multipart/digest; boundary="d"\r\n',
        parts(
            *(part(b"Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\n", plain(WORDS)) for _ in range(3)),
            boundary=b"d",
        ),
    )
    return _multi(b"mixed", _TEXT, inner, _TEXT)


def invitation(method: str = "REQUEST") -> bytes:
    """An invitation as Exchange sends it: the calendar part as an alternative."""
    entry = part(
        f'Content-Type: text/calendar; charset="utf-8"; method={method}\r\nContent-Transfer-Encoding: base64\r\n'.encode(),
        b64(files.calendar(method=method)),
    )
    return _multi(b"alternative", _TEXT, _HTML, entry)


def invitation_google() -> bytes:
    """An invitation as Google sends it: the calendar part twice."""
    entry = part(b"Content-Type: text/calendar; charset=UTF-8; method=REQUEST\r\n", files.calendar())
    again = part(
        b'Content-Type: application/ics; name="invite.ics"\r\nContent-Disposition: attachment; filename="invite.ics"\r\nContent-Transfer-Encoding: base64\r\n',
        b64(files.calendar()),
    )
    return _multi(
        b"mixed",
        part(b'Content-Type: multipart/alternative; boundary="c"\r\n', parts(_TEXT, _HTML, entry, boundary=b"c")),
        again,
    )


def pictures() -> bytes:
    """A letter with six large pictures in line."""
    images = [
        part(
            b"Content-Type: image/jpeg; name=image00%d.jpg\r\nContent-ID: <image00%d@1>\r\nContent-Transfer-Encoding: base64\r\n"
            % (each, each),
            b64(files.picture("JPEG", 700 + each, 500)),
        )
        for each in range(6)
    ]
    return _multi(b"related", _HTML, *images)


def embedded_picture() -> bytes:
    """A letter with a picture of a megabyte written into the page."""
    return page(
        f'<p>Hello</p><img src="data:image/jpeg;base64,{base64.b64encode(files.picture("JPEG", 1400, 1000)).decode()}">'
    )


def outlook_page() -> bytes:
    """The page that Word writes for Outlook: conditional comments, VML, name spaces."""
    return page(
        '<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"><head><!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}</style><![endif]--><!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026"/></xml><![endif]--></head><body><p class=MsoNormal>'
        + WORDS
        + "<o:p></o:p></p></body></html>"
    )


def marketing_page() -> bytes:
    """A shop's page: buttons for old Outlook, tracking, styles, structured data and the words that hide in it."""
    return page(
        '<html><head><script type="application/ld+json">{"@context":"http://schema.org","@type":"EmailMessage","potentialAction":{"@type":"ViewAction","url":"https://shop.example"}}</script><meta http-equiv="X-UA-Compatible" content="IE=edge"></head><body><!--[if mso]><v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" href="https://shop.example"/><![endif]--><a href="https://shop.example/download/setup.exe">Download</a></body></html>'
    )


def sloppy_latin() -> bytes:
    """8-bit text in an undeclared charset, no MIME fields at all."""
    return b"From: Ren\xe9 <rene@sender.example>\r\nTo: teacher@school.example\r\nSubject: Caf\xe9 \x96 lunch\r\n\r\nD\xe9j\xe0 vu \x93quoted\x94 \x80 5\r\n"


def sloppy_lf() -> bytes:
    """LF for every line end, a lone CR in the text."""
    return plain("One line\rand another\n").replace(b"\r\n", b"\n")


def sloppy_repeated() -> bytes:
    """Content-Type twice with the same words, as some relays leave it."""
    return plain(
        WORDS, fields="Content-Type: text/plain; charset=utf-8\r\nContent-Type: text/plain; charset=utf-8\r\n"
    )


def sloppy_charsets() -> bytes:
    """Charsets with quotes, spaces, capitals and names nobody knows."""
    each = [
        part(f"Content-Type: text/plain; charset={charset}\r\n".encode(), WORDS.encode() + b"\xe9\r\n")
        for charset in ('"ISO-8859-1"', "Windows-1252", "ansi_x3.4-1968", "x-unknown", "utf8", "cp-850", '"utf-8"')
    ]
    return _multi(b"mixed", *each)


def sloppy_multipart() -> bytes:
    """A multipart without its end, with an empty part and a part without fields."""
    return (
        head()
        + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nNo fields here\r\n--b\r\n\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n'
    )


def sloppy_long_lines() -> bytes:
    """A page in one line of 50 kB."""
    return page("<p>" + WORDS * 200 + "</p>")


def sloppy_empty() -> bytes:
    """Nothing but a header."""
    return head("")


def sloppy_quoted() -> bytes:
    """Quoted-printable with equals signs that should have been escaped."""
    return plain(
        "See https://www.example.com/?a=b&c=d and 2=2, x = y =\r\n",
        fields="Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    )


def sloppy_encoding() -> bytes:
    """An encoding with a wrong name for plain text."""
    return plain(WORDS, fields="Content-Type: text/plain\r\nContent-Transfer-Encoding: utf-8\r\n")


def talks_of_boundaries() -> bytes:
    """A text that shows what MIME looks like: boundaries, fields, base64."""
    return plain(
        "Lesson 3: MIME\r\n\r\n--outer\r\nContent-Type: text/plain\r\n\r\nhello\r\n--outer--\r\n\r\nbegin with the header, end with the dot.\r\nContent-Transfer-Encoding: base64\r\n"
    )


def talks_of_code() -> bytes:
    """A computing teacher's letter with code of many languages in it."""
    return plain(
        "import os\nprint('hello')\n\nfunction run() { document.write('x'); }\n\nSub Main()\n MsgBox \"hi\"\nEnd Sub\n\n#!/bin/sh\necho hi\n\nGet-ChildItem | Where-Object Name -like '*.exe'\n\nCreateObject is how VBScript makes an object; WScript.Shell runs programs.\n"
    )


def talks_of_code_page() -> bytes:
    """The same as a page, the code escaped."""
    return page(
        "<pre>&lt;script&gt;alert('hello')&lt;/script&gt;\n&lt;a href=\"data:text/html,hi\"&gt;\nvar x = atob('aGVsbG8=');</pre><p>In JavaScript we write new Blob([a]).</p>"
    )


def begins() -> bytes:
    """A text with lines that begin with the word begin."""
    return plain(
        "The lessons\r\nbegin 900 metres from here.\r\nbegin at 9 o'clock\r\nend\r\n\r\nbegin 644 is how uuencode starts, said the teacher.\r\nend\r\n"
    )


def quoted_reply() -> bytes:
    """A long thread with quoted replies and an old signature block."""
    return plain(
        "".join(f"{'>' * depth} {WORDS}\r\n" for depth in range(1, 30))
        + "-- \r\nAlice\r\n____\r\nFrom: x\r\nTo: y\r\n"
    )


def no_names() -> bytes:
    """A picture without any name."""
    return _multi(
        b"mixed",
        _TEXT,
        part(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n", b64(files.picture("PNG"))),
    )


def inline_text_files() -> bytes:
    """A text file shown in line with a name, 8-bit."""
    return _multi(
        b"mixed",
        _TEXT,
        part(
            b'Content-Type: text/plain; charset=utf-8; name="minutes.txt"\r\nContent-Disposition: inline; filename="minutes.txt"\r\nContent-Transfer-Encoding: 8bit\r\n',
            files.text(5),
        ),
    )


def many_recipients() -> bytes:
    """Folded To and Cc with groups and encoded words."""
    people = ",\r\n\t".join(f"=?utf-8?Q?Ren=C3=A9_{number}?= <p{number}@sender.example>" for number in range(20))
    return b"Cc: " + people.encode() + b"\r\n" + plain(WORDS)


def tnef_letter() -> bytes:
    """What Exchange sends to people outside by mistake: the text, and winmail.dat without files."""
    return _multi(
        b"mixed",
        _TEXT,
        part(
            b'Content-Type: application/ms-tnef; name="winmail.dat"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="winmail.dat"\r\n',
            b64(files.winmail_empty()),
        ),
    )


def voice_message() -> bytes:
    """A voice message of the telephone system."""
    return _multi(
        b"voice-message",
        _TEXT,
        part(
            b"Content-Type: audio/wav; name=message.wav\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline; voice=Voice-Message; filename=message.wav\r\n",
            b64(files.sound()),
        ),
    )


def read_later(charset: str, text: str) -> bytes:
    """A text in one of the world's charsets, in base64."""
    return (
        head()
        + f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + b64(text.encode(charset))
    )


def amp() -> bytes:
    """A page for mail that is an application (AMP), beside the ordinary forms."""
    amp_page = part(
        b"Content-Type: text/x-amp-html; charset=utf-8\r\n",
        b'<!doctype html><html amp4email><head><script async src="https://cdn.ampproject.org/v0.js"></script></head><body>Hi</body></html>',
    )
    return _multi(b"alternative", _TEXT, amp_page, _HTML)


LETTERS: tuple[tuple[str, Callable[[], bytes]], ...] = (
    *((each.__name__.replace("_", "-"), each) for each in (
        bounce, bounce_full, bounce_cut, bounce_qmail, receipt, complaint, signed, signed_opaque, signed_pgp,
        signed_inline, signed_dkim, digest, digest_mailman, invitation_google, pictures, embedded_picture,
        outlook_page, marketing_page, sloppy_latin, sloppy_lf, sloppy_repeated, sloppy_charsets, sloppy_multipart,
        sloppy_long_lines, sloppy_empty, sloppy_quoted, sloppy_encoding, talks_of_boundaries, talks_of_code,
        talks_of_code_page, begins, quoted_reply, no_names, inline_text_files, many_recipients, tnef_letter,
        voice_message, amp,
    )),
    *((f"invitation-{method.lower()}", partial(invitation, method)) for method in ("REQUEST", "CANCEL", "REPLY", "PUBLISH")),
    *((f"charset-{charset}", partial(read_later, charset, text)) for charset, text in (
        ("utf-8", "Привет, вот письмо"), ("koi8-r", "Привет, вот письмо"), ("iso-2022-jp", "学校からのお知らせ"), ("shift_jis", "学校からのお知らせ"),
        ("gb18030", "学校通知"), ("big5", "學校通知"), ("euc-kr", "학교 소식"), ("utf-16", "Hello"), ("windows-1256", "مرحبا"),
        ("iso-8859-8", "שלום"), ("utf-7", "Grüße"), ("windows-1252", "“Smart” – 5 €"),
    )),
    *((f"subject-{number}", partial(plain, f"{WORDS}\r\nWe talk about {name}.\r\n", subject=f"About {name}")) for number, name in enumerate((
        "setup.exe", "invoice.pdf.exe", "the .bat files of Year 9", "www.example.com", "PK and MZ, two film makers", "%PDF-1.4",
        "vbaProject.bin", "password.zip", "C:\\Windows\\system32\\cmd.exe /c dir", "curl -O https://www.example.com/a.sh",
        "begin 644 setup.exe", "=ybegin line=128 size=1 name=a", "TVqQAAMAAAAEAAAA//8AALgAAAA", "data:text/html;base64,SGVsbG8=", "<script>alert(1)</script>",
    ))),
)  # fmt: skip
