"""Ordinary mail as real programs write it, with their everyday deviations: nothing in it is ambiguous."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage, MIMEPart

import pytest
from support.messages import b64, file_part, message, multipart, text_part

from gatepost_milter.inspection import reader
from gatepost_milter.inspection.defects import Severity, severity

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20
HTML = (
    b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>Hello</p>\r\n"
)


def _built(name: str, *, linesep: str = "\r\n") -> bytes:
    """A message with text, HTML and a file, as Python's own library writes it."""
    built = EmailMessage(policy=policy.SMTP.clone(linesep=linesep))
    built["From"], built["To"], built["Subject"] = "a@b.example", "c@d.example", "Ausflug für die Klasse 7é"
    built.set_content("Hallo\n\n-- \nSignature\n--outer\nlooks like a boundary\n")
    built.add_alternative("<p>Hallo</p>", subtype="html")
    built.add_attachment(PDF, maintype="application", subtype="pdf", filename=name)
    return built.as_bytes()


def _forward() -> bytes:
    inner = EmailMessage(policy=policy.SMTP)
    inner["From"], inner["Subject"] = "x@y.example", "inner"
    inner.set_content("text")
    inner.add_attachment(PDF, maintype="application", subtype="pdf", filename="a.pdf")
    outer = EmailMessage(policy=policy.SMTP)
    outer["From"], outer["Subject"] = "a@b.example", "Fwd: inner"
    outer.set_content("see below")
    outer.add_attachment(inner)
    return outer.as_bytes()


def _disposition(parameters: bytes) -> bytes:
    part = (
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; "
    )
    return message(multipart(text_part(), part + parameters + b"\r\n\r\n" + b64(PDF)))


HARMLESS = {
    "short-text": message(b"\r\nHello\r\n"),
    "empty-body": message(b"\r\n"),
    "header-only": message(b""),
    "no-version-8-bit": "From: a@b.example\r\nSubject: für\r\n\r\nfür alle\r\n".encode(),
    "long-line": message(b"\r\n" + b"word " * 3000 + b"\r\n"),
    "signature-and-rules": message(b"\r\nHello\r\n-- \r\nAlice\r\n----------\r\n--outer\r\nContent: yes\r\n"),
    "words-begin-and-end": message(b"\r\nWe\r\nbegin 10 minutes late.\r\nbegin at once\r\nend\r\n"),
    "sql-in-text": message(b"\r\n" + b"-- a comment\r\nSELECT 1;\r\n" * 500),
    "library-short-name": _built("letter.pdf"),
    "library-name-with-accents": _built("Übersicht für Eltern.pdf"),
    "library-long-name": _built("A very long name of a letter to all parents " * 4 + "é.pdf"),
    "library-lf-only": _built("letter.pdf", linesep="\n"),
    "forwarded-as-attachment": _forward(),
    "name-unquoted-with-spaces": _disposition(b"filename=Letter to parents.pdf"),
    "name-encoded-words": _disposition(b'filename="=?utf-8?B?w5xiZXJzaWNodC5wZGY=?="'),
    "name-encoded-words-folded": _disposition(b'filename="=?utf-8?Q?=C3=9Cber?=\r\n =?utf-8?Q?sicht.pdf?="'),
    "name-both-forms": _disposition(b"filename=\"Ubersicht.pdf\";\r\n filename*=UTF-8''%C3%9Cbersicht.pdf"),
    "name-with-dots": _disposition(b'filename="Report v1.2 (final). 3.pdf"'),
    "name-with-sizes-and-dates": _disposition(
        b'filename="a.pdf"; size=5129;\r\n\tcreation-date="Mon, 02 Mar 2026 10:00:00 GMT"'),
    "disposition-trailing-semicolon": _disposition(b'filename="a.pdf";'),
    "outlook-names-in-both": message(multipart(
        b"Content-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: quoted-printable"
        b"\r\n\r\nhi\r\n",
        b"Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Description: a.pdf\r\n"
        b"Content-Disposition: attachment; filename=\"a.pdf\"; size=3;\r\n\tmodification-date=\"x\"\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b64(PDF), boundary=b"_000_AB12_")),
    "outlook-boundaries-almost-alike": message(multipart(
        multipart(text_part(), HTML, boundary=b"----=_NextPart_000_0001_01D9", kind=b"alternative"),
        file_part(b"a.pdf", content=PDF, kind=b"application/pdf"), boundary=b"----=_NextPart_000_0000_01D9",
        preamble=b"This is a multi-part message in MIME format.\r\n\r\n")),
    "inner-boundary-begins-with-outer": message(multipart(
        multipart(text_part(), HTML, boundary=b"b1_alt", kind=b"alternative"),
        file_part(b"a.pdf", content=PDF, kind=b"application/pdf"), boundary=b"b1")),
    "outer-boundary-begins-with-inner": message(multipart(
        multipart(text_part(), HTML, boundary=b"b1", kind=b"alternative"),
        file_part(b"a.pdf", content=PDF, kind=b"application/pdf"), boundary=b"b1_out")),
    "apple-related": message(multipart(
        HTML, b"Content-Type: image/png; x-unix-mode=0644; name=\"i.png\"\r\nContent-Id: <1>\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-Disposition: inline;\r\n\tfilename=i.png\r\n\r\n"
        + b64(PDF),
        boundary=b"Apple-Mail=_1234-5", kind=b"related;\r\n\ttype=\"text/html\"")),
    "page-with-locations": message(multipart(
        b"Content-Type: text/html\r\nContent-Location: http://www.school.example/page.php\r\n\r\n<p>x</p>\r\n",
        b"Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Location: http://www.example.com/i/logo.gif\r\n\r\n" + b64(b"GIF89a"), kind=b"related")),
    "signed": message(multipart(
        text_part(), b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7s\r\n"
        b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n" + b64(PDF),
        kind=b"signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256")),
    "bounce": message(multipart(
        text_part(b"Undeliverable"),
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.example\r\n\r\nAction: failed\r\n",
        b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nSubject: x\r\n\r\nhello\r\n",
        kind=b"report; report-type=delivery-status")),
    "bounce-with-headers": message(multipart(
        text_part(b"Undeliverable"),
        b"Content-Type: text/rfc822-headers\r\n\r\nFrom: a@b.example\r\nContent-Type: multipart/mixed;\r\n"
        b" boundary=zzz\r\n\r\n", kind=b"report; report-type=delivery-status")),
    "invitation": message(multipart(
        text_part(), b"Content-Type: text/calendar; charset=\"UTF-8\"; method=REQUEST\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", kind=b"alternative")),
    "digest": message(multipart(b"\r\nFrom: a@b.example\r\nSubject: one\r\n\r\nfirst\r\n",
        b"\r\nFrom: c@d.example\r\nSubject: two\r\n\r\nsecond\r\n", kind=b"digest")),
    "list-footer-after-close": message(
        multipart(text_part()) + b"\r\n_______________________________________________\r\nParents list\r\n"),
    "unclosed": message(multipart(text_part(), HTML, close=False)),
    "two-identical-types": message(b"Content-Type: text/plain\r\nContent-Type: text/plain\r\n\r\nhello\r\n"),
    "charset-spaced": message(b"Content-Type: text/plain; charset = utf-8\r\n\r\nhello\r\n"),
    "type-with-comment": message(b"Content-Type: text/plain (plain text); charset=us-ascii\r\n\r\nhello\r\n"),
    "encoding-upper-case": message(b"Content-Transfer-Encoding: 8BIT\r\n\r\nhello\r\n"),
    "attached-program-text": message(multipart(text_part(), file_part(b"homework.py", content=b"print('hi')\n"))),
    "empty-parts": message(multipart(b"\r\n", text_part(b""), b"Content-Type: text/html\r\n\r\n")),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_mail_is_not_ambiguous(name: str) -> None:
    """A gateway that cries wolf is switched off; what all clients read alike must count as clear."""
    reading = reader.read(HARMLESS[name], max_parts=2000)
    serious = [str(defect) for defect in reading.defects if severity(defect.code) is not Severity.SLOPPY]
    assert serious == []


@pytest.mark.parametrize(
    ("name", "leaves"),
    [("short-text", 1), ("library-short-name", 3), ("forwarded-as-attachment", 3), ("apple-related", 2),
     ("inner-boundary-begins-with-outer", 3), ("outer-boundary-begins-with-inner", 3), ("digest", 2),
     ("list-footer-after-close", 1), ("unclosed", 2)],
)  # fmt: skip
def test_harmless_mail_is_examined_once(name: str, leaves: int) -> None:
    """Other readings that show nothing new cost no second look at the same bytes."""
    assert len(reader.read(HARMLESS[name], max_parts=2000).leaves) == leaves


def test_numbers_and_paths_are_those_of_imap() -> None:
    """Reviewers and administrators find parts by the numbers that their mail programs use."""
    reading = reader.read(HARMLESS["forwarded-as-attachment"], max_parts=2000)
    assert [leaf.path for leaf in reading.leaves] == ["part 1", "part 2 › part 1", "part 2 › part 2"]
    nested = reader.read(HARMLESS["inner-boundary-begins-with-outer"], max_parts=2000)
    assert [leaf.number for leaf in nested.leaves] == ["1.1", "1.2", "2"]


def test_a_text_part_is_shown_and_a_file_is_not() -> None:
    """Only what a person reads in the message itself counts as its text."""
    reading = reader.read(HARMLESS["library-short-name"], max_parts=2000)
    assert [(each.leaf.path, each.html) for each in reading.texts] == [("part 1.1", False), ("part 1.2", True)]


def test_the_library_agrees_on_every_leaf() -> None:
    """For well-formed mail our leaves are exactly those that Python's own parser finds."""
    import email

    for name in ("library-short-name", "library-name-with-accents", "forwarded-as-attachment", "apple-related"):
        data = HARMLESS[name]
        parsed = email.message_from_bytes(data, policy=policy.default)
        bodies = [part for part in parsed.walk() if not part.is_multipart()]
        ours = reader.read(data, max_parts=2000).leaves
        assert [part.get_content_type() for part in bodies] == [leaf.claimed or "text/plain" for leaf in ours]
        for part, leaf in zip(bodies, ours, strict=True):
            assert isinstance(part, MIMEPart)
            assert (part.get_filename() or "") in {"", *leaf.names}
