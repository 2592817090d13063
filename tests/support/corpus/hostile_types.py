"""Owns hostile cases in Content-Type, Content-Transfer-Encoding and the shape of header fields."""

from __future__ import annotations

from functools import partial

from support.corpus import payloads
from support.corpus.case import PROGRAM, SCRIPT, STOPPED, Register
from support.corpus.shapes import (
    BASE64,
    MIXED,
    OCTETS,
    TEXT,
    TOP,
    attached,
    b64,
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

types = Register("content-type")
encodings = Register("encoding")
headers = Register("header")


def _multipart_as(declaration: bytes, boundary: bytes = b"outer") -> bytes:
    """A multipart with a program whose type is declared in these words."""
    return mail(part(declaration, parts(TEXT, program(), boundary=boundary)))


for _name, _technique, _declaration in (
    ("lower-case", "the media type and its parameter in odd case", b"content-TYPE: MuLtIpArT/MiXeD; BOUNDARY=outer\r\n"),
    ("comment-inside", "a comment between the halves of the type", b"Content-Type: multipart/(one)mixed; boundary=outer\r\n"),
    ("comment-fake", "a comment that holds another boundary", b"Content-Type: multipart/mixed (; boundary=fake); boundary=outer\r\n"),
    ("comment-nested", "nested comments with quotes", b'Content-Type: multipart/mixed (a (b "c) d); boundary=outer\r\n'),
    ("comment-value", "a comment before the boundary's value", b"Content-Type: multipart/mixed; boundary=(c)outer\r\n"),
    ("comment-behind", "a comment behind the boundary's value", b'Content-Type: multipart/mixed; boundary="outer"(c)\r\n'),
    ("comment-open", "a comment that is never closed", b"Content-Type: multipart/mixed; boundary=outer (never closed\r\n"),
    ("folded", "the value begins on the next line", b"Content-Type:\r\n multipart/mixed;\r\n\tboundary=outer\r\n"),
    ("folded-blank", "a folded line of nothing but a space", b"Content-Type:\r\n \r\n multipart/mixed; boundary=outer\r\n"),
    ("folded-in-value", "the boundary's value on a line of its own", b"Content-Type: multipart/mixed; boundary=\r\n outer\r\n"),
    ("tabs", "tabs for spaces", b"Content-Type:\tmultipart/mixed;\tboundary=outer\t\r\n"),
    ("no-space", "no space anywhere", b"Content-Type:multipart/mixed;boundary=outer\r\n"),
    ("space-before-colon", "a space before the colon", b"Content-Type : multipart/mixed; boundary=outer\r\n"),
    ("tab-before-colon", "a tab before the colon", b"Content-Type\t: multipart/mixed; boundary=outer\r\n"),
    ("no-semicolon", "no semicolon before the boundary", b'Content-Type: multipart/mixed boundary="outer"\r\n'),
    ("comma", "a comma for the semicolon", b'Content-Type: multipart/mixed, boundary="outer"\r\n'),
    ("semicolons", "too many semicolons", b"Content-Type: multipart/mixed;; ; boundary=outer;;\r\n"),
    ("spaces-around-equals", "spaces around the equals sign", b'Content-Type: multipart/mixed; boundary = "outer"\r\n'),
    ("quote-open", "the closing quote is missing", b'Content-Type: multipart/mixed; boundary="outer\r\n'),
    ("quote-late", "the opening quote is missing", b'Content-Type: multipart/mixed; boundary=outer"\r\n'),
    ("quote-single", "single quotes that some clients strip", b"Content-Type: multipart/mixed; boundary='outer'\r\n"),
    ("quote-garbage", "words behind the closing quote", b'Content-Type: multipart/mixed; boundary="outer"x; charset=a\r\n'),
    ("escaped", "a backslash inside the quoted boundary", b'Content-Type: multipart/mixed; boundary="ou\\ter"\r\n'),
    ("rfc2231", "the boundary as an RFC 2231 value", b"Content-Type: multipart/mixed; boundary*=us-ascii''out%65r\r\n"),
    ("rfc2231-pieces", "the boundary in RFC 2231 pieces", b'Content-Type: multipart/mixed; boundary*0="ou"; boundary*1="ter"\r\n'),
    ("rfc2231-swapped", "the pieces in the wrong order", b'Content-Type: multipart/mixed; boundary*1="ter"; boundary*0="ou"\r\n'),
    ("encoded-word", "the boundary as an encoded word", b'Content-Type: multipart/mixed; boundary="=?us-ascii?Q?outer?="\r\n'),
    ("two-boundaries-first", "two boundaries declared, the first is used", b"Content-Type: multipart/mixed; boundary=outer; boundary=other\r\n"),
    ("two-boundaries-last", "two boundaries declared, the last is used", b"Content-Type: multipart/mixed; boundary=other; boundary=outer\r\n"),
    ("nul-behind", "NUL behind the boundary, where C strings end", b"Content-Type: multipart/mixed; boundary=outer\0x\r\n"),
    ("nul-inside", "NUL inside the type, which some clients drop", b"Content-Type: multi\0part/mixed; boundary=outer\r\n"),
    ("cr-inside", "bare CR inside the value", b"Content-Type: multipart/mixed;\r boundary=outer\r\n"),
    ("subtype-unknown", "a subtype nobody knows is read as mixed", b"Content-Type: multipart/x-gatepost; boundary=outer\r\n"),
    ("subtype-empty", "no subtype", b"Content-Type: multipart/; boundary=outer\r\n"),
    ("subtype-missing", "no slash and no subtype", b"Content-Type: multipart; boundary=outer\r\n"),
    ("charset-open", "another parameter with an open quote behind the boundary", b'Content-Type: multipart/mixed; boundary=outer; charset="utf\r\n'),
    ("charset-before", "another parameter whose quote swallows the boundary", b'Content-Type: multipart/mixed; charset="utf-8; boundary=outer\r\n'),
    ("twice-text-first", "two types, multipart last", b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("twice-text-last", "two types, multipart first", b"Content-Type: multipart/mixed; boundary=outer\r\nContent-Type: text/plain\r\n"),
    ("twice-empty", "an empty type before the real one", b"Content-Type:\r\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("twice-boundary", "two multiparts, the second one's boundary is used", b"Content-Type: multipart/mixed; boundary=other\r\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("cr-hidden-field", "the type stands behind a bare CR in another field", b"X-Mailer: a\rContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("lf-hidden-field", "the type stands behind a bare LF in another field", b"X-Mailer: a\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("behind-junk", "a line that is no field stands before the type", b"this is no header field\r\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("behind-mbox", "an mbox line stands before the type", b">From alice Mon Nov  2 09:00:00 2026\r\nContent-Type: multipart/mixed; boundary=outer\r\n"),
    ("eight-bit", "an 8-bit byte in the type's name", b"Content-Type: multipart/mixed\xa0; boundary=outer\r\n"),
    ("trailing-dot", "a full stop behind the type", b"Content-Type: multipart/mixed.; boundary=outer\r\n"),
    ("quoted-type", "the type in quotes", b'Content-Type: "multipart/mixed"; boundary=outer\r\n'),
    ("slash-spaces", "spaces around the slash", b"Content-Type: multipart / mixed; boundary=outer\r\n"),
    ("report", "a delivery report as the type", b"Content-Type: multipart/report; report-type=delivery-status; boundary=outer\r\n"),
    ("signed", "a signed message whose second part is a program", b"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=outer\r\n"),
    ("form-data", "a form", b"Content-Type: multipart/form-data; boundary=outer\r\n"),
    ("byteranges", "byte ranges", b"Content-Type: multipart/byteranges; boundary=outer\r\n"),
    ("appledouble", "the two halves of a Mac file", b"Content-Type: multipart/appledouble; boundary=outer\r\n"),
    ("replace", "a multipart meant for moving pictures", b"Content-Type: multipart/x-mixed-replace; boundary=outer\r\n"),
    ("alternative", "the program as another form of the text", b"Content-Type: multipart/alternative; boundary=outer\r\n"),
):  # fmt: skip
    types.add(_name, _technique, partial(_multipart_as, _declaration), PROGRAM)


@types.case("the boundary is the encoded word itself, not what it says", PROGRAM)
def encoded_word_raw() -> bytes:
    word = b"=?us-ascii?Q?outer?="
    return _multipart_as(b'Content-Type: multipart/mixed; boundary="' + word + b'"\r\n', word)


@types.case("single quotes that belong to the boundary", PROGRAM)
def quote_single_kept() -> bytes:
    return _multipart_as(b"Content-Type: multipart/mixed; boundary='outer'\r\n", b"'outer'")


@types.case("the backslash belongs to the boundary", PROGRAM)
def escaped_kept() -> bytes:
    return _multipart_as(b'Content-Type: multipart/mixed; boundary="ou\\ter"\r\n', b"ou\\ter")


@types.case("a part that is first called text and then a program", SCRIPT)
def part_twice() -> bytes:
    fields = b"Content-Type: text/plain\r\nContent-Type: application/x-msdos-program; name=run.bat\r\n"
    return letter(part(fields + BASE64, b64(payloads.BATCH)))


@types.case("a text part without a name that holds a program", PROGRAM)
def text_without_name() -> bytes:
    return letter(part(b"Content-Type: text/plain\r\n" + BASE64, program64()))


@types.case("an HTML part without a name that holds a program", PROGRAM)
def html_without_name() -> bytes:
    return letter(part(b"Content-Type: text/html\r\n" + BASE64, program64()))


@types.case("the whole message is the program", PROGRAM)
def whole_message() -> bytes:
    return mail(part(OCTETS + BASE64 + named(b"setup.exe"), program64()))


@types.case("a picture by its type, shown in line", PROGRAM)
def inline_picture() -> bytes:
    fields = b"Content-Type: image/jpeg\r\nContent-ID: <a@b>\r\nContent-Disposition: inline\r\n"
    return mail(multipart(TEXT, part(fields + BASE64, program64()), kind=b"related"))


@types.case("no Content-Type at all, only a disposition", PROGRAM)
def disposition_alone() -> bytes:
    return letter(part(BASE64 + named(b"setup.exe"), program64()))


@types.case("a type that is not in the form of a type", PROGRAM)
def type_without_form() -> bytes:
    return letter(part(b"Content-Type: ???\r\n" + BASE64 + named(b"setup.exe"), program64()))


@types.case("a type of forms that no name is needed for", SCRIPT)
def hta_by_type() -> bytes:
    return letter(part(b"Content-Type: application/hta\r\n" + BASE64, b64(payloads.HTA)))


@types.case("three levels of multipart, types repeated at each", PROGRAM)
def twice_at_each_level() -> bytes:
    entity = program()
    for level in (b"third", b"second", b"outer"):
        fields = b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=" + level + b"\r\n"
        entity = part(fields, parts(TEXT, entity, boundary=level))
    return mail(entity)


@types.case("forty multiparts inside one another", PROGRAM | STOPPED)
def deep() -> bytes:
    entity = program()
    for level in range(40):
        entity = multipart(entity, boundary=b"level%d" % level)
    return mail(entity)


@types.case("a program behind two thousand empty parts", PROGRAM | STOPPED)
def many_parts() -> bytes:
    return letter(*[b"Content-Type: text/plain\r\n\r\na"] * 3000, program())


def _encoded_as(declaration: bytes, body: bytes | None = None, name: bytes = b"setup.exe") -> bytes:
    fields = OCTETS + declaration + named(name)
    return letter(part(fields, program64() if body is None else body))


for _name, _technique, _declaration in (
    ("upper-case", "the encoding in capitals", b"CONTENT-TRANSFER-ENCODING: BASE64\r\n"),
    ("comment-behind", "a comment behind the encoding", b"Content-Transfer-Encoding: base64 (mime)\r\n"),
    ("comment-before", "a comment before the encoding", b"Content-Transfer-Encoding: (mime) base64\r\n"),
    ("quoted", "the encoding in quotes", b'Content-Transfer-Encoding: "base64"\r\n'),
    ("semicolon", "a semicolon behind the encoding", b"Content-Transfer-Encoding: base64;\r\n"),
    ("parameter", "a parameter behind the encoding", b"Content-Transfer-Encoding: base64; a=b\r\n"),
    ("folded", "the encoding on the next line", b"Content-Transfer-Encoding:\r\n base64\r\n"),
    ("folded-blank", "a folded empty line before the encoding", b"Content-Transfer-Encoding: \r\n \t \r\n base64\r\n"),
    ("space-before-colon", "a space before the colon", b"Content-Transfer-Encoding : base64\r\n"),
    ("two-words", "two encodings in one field", b"Content-Transfer-Encoding: base64, 7bit\r\n"),
    ("two-words-other", "two encodings in one field, base64 last", b"Content-Transfer-Encoding: 7bit base64\r\n"),
    ("twice-first", "two fields, base64 first", b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n"),
    ("twice-last", "two fields, base64 last", b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n"),
    ("twice-qp", "two fields, quoted-printable and base64", b"Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: base64\r\n"),
    ("twice-empty", "an empty field before the real one", b"Content-Transfer-Encoding:\r\nContent-Transfer-Encoding: base64\r\n"),
    ("trailing-dot", "a full stop behind the encoding", b"Content-Transfer-Encoding: base64.\r\n"),
    ("hyphen", "a misspelt encoding that lenient clients know", b"Content-Transfer-Encoding: base-64\r\n"),
    ("x-base64", "an old name of the encoding", b"Content-Transfer-Encoding: x-base64\r\n"),
    ("nul", "NUL behind the encoding", b"Content-Transfer-Encoding: base64\0\r\n"),
    ("eight-bit", "a no-break space behind the encoding", b"Content-Transfer-Encoding: base64\xc2\xa0\r\n"),
    ("encoded-word", "the encoding as an encoded word", b"Content-Transfer-Encoding: =?us-ascii?Q?base64?=\r\n"),
    ("cr-hidden", "the encoding stands behind a bare CR", b"X-Mailer: a\rContent-Transfer-Encoding: base64\r\n"),
    ("prefix", "letters behind the encoding", b"Content-Transfer-Encoding: base64encoded\r\n"),
    ("missing", "base64 without a declared encoding, repaired by some gateways", b""),
    ("unknown", "an encoding that nobody knows", b"Content-Transfer-Encoding: x-unknown\r\n"),
):  # fmt: skip
    encodings.add(_name, _technique, partial(_encoded_as, _declaration), PROGRAM)


def _program64(change: str) -> bytes:
    """The program's base64, changed in the way that is named."""
    letters = program64().replace(b"\r\n", b"")
    at = 4000
    lines = program64().splitlines()
    return {
        "junk-each-line": b"".join(line[:20] + b"!#" + line[20:] + b"\r\n" for line in lines),
        "junk-high": b"".join(b"\xe9" + line + b"\r\n" for line in lines),
        "junk-nul": b"\r\n".join(b"\0".join((line[:9], line[9:])) for line in lines),
        "junk-dots": b".".join(letters[start : start + 3] for start in range(0, len(letters), 3)),
        "padding-inside": letters[:at] + b"=" + letters[at:],
        "padding-inside-two": letters[:at] + b"==\r\n" + letters[at:],
        "padding-first": b"====\r\n" + program64(),
        "padding-second": letters[:4] + b"=\r\n" + letters[4:],
        "padding-missing": letters.rstrip(b"="),
        "padding-much": letters.rstrip(b"=") + b"=" * 9,
        "one-letter-missing": letters.rstrip(b"=")[:-1],
        "one-line": letters + b"\r\n",
        "lines-of-one": b64(payloads.windows_program(), width=1),
        "lines-of-77": b64(payloads.windows_program(), width=77),
        "lines-of-5-lf": b64(payloads.windows_program(), width=5, eol=b"\n"),
        "lines-cr": b64(payloads.windows_program(), eol=b"\r"),
        "lines-blank-between": b64(payloads.windows_program(), eol=b"\r\n\r\n"),
        "lines-indented": b"".join(b"\t " + line + b" \r\n" for line in lines),
        "lines-quoted": b"".join(b"> " + line + b"\r\n" for line in lines),
        "words-before": b"This file is in base64:\r\n\r\n" + program64(),
        "words-behind": program64() + b"\r\nSent from my phone, with best wishes!\r\n",
        "url-alphabet": program64().replace(b"+", b"-").replace(b"/", b"_"),
        "harmless-then-program": b64(b"Good morning\n") + program64(),
        "short-then-program": b"QQ==" + program64(),
        "dashes-between": b"".join(line + b"\r\n-\r\n" for line in lines),
    }[change]


def _changed(change: str) -> bytes:
    return _encoded_as(BASE64, _program64(change))


for _name, _technique in (
    ("junk-each-line", "foreign characters in each line"),
    ("junk-high", "8-bit bytes in each line"),
    ("junk-nul", "NUL in each line"),
    ("junk-dots", "a full stop behind every third letter"),
    ("padding-inside", "padding in the middle that some clients skip"),
    ("padding-inside-two", "two signs of padding in the middle"),
    ("padding-first", "padding before the first letter"),
    ("padding-second", "padding behind the first group"),
    ("padding-missing", "no padding at the end"),
    ("padding-much", "too much padding at the end"),
    ("one-letter-missing", "the last group is cut"),
    ("one-line", "one line of 19,000 letters"),
    ("lines-of-one", "one letter in each line"),
    ("lines-of-77", "lines that are one letter too long"),
    ("lines-of-5-lf", "lines of five letters, ended by LF"),
    ("lines-cr", "lines ended by CR"),
    ("lines-blank-between", "an empty line behind each line"),
    ("lines-indented", "indented lines"),
    ("lines-quoted", "lines quoted as in a reply"),
    ("words-before", "a sentence before the base64"),
    ("words-behind", "a sentence behind the base64"),
    ("url-alphabet", "the alphabet of RFC 4648 section 5"),
    ("harmless-then-program", "a harmless file, padded, then the program"),
    ("short-then-program", "one byte with padding, then the program"),
    ("dashes-between", "a dash on a line of its own behind each line"),
):
    encodings.add(f"base64-{_name}", _technique, partial(_changed, _name), PROGRAM)

_QP = b"Content-Transfer-Encoding: quoted-printable\r\n"
_ESCAPED = quoted(payloads.windows_program())

for _name, _technique, _body in (
    ("ordinary", "quoted-printable", _ESCAPED),
    ("lower-case", "lower-case escapes", quoted(payloads.windows_program(), hexes=b"=%02x")),
    ("soft-spaces", "spaces behind soft line breaks", quoted(payloads.windows_program(), soft=b"= \t\r\n")),
    ("soft-lf", "soft line breaks of LF alone", quoted(payloads.windows_program(), soft=b"=\n")),
    ("soft-cr", "soft line breaks of CR alone", quoted(payloads.windows_program(), soft=b"=\r")),
    ("one-line", "one line of 40,000 letters", quoted(payloads.windows_program(), soft=b"")),
    ("broken-escape", "a broken escape at the end", _ESCAPED.rstrip() + b"=4\r\n=G7=\r\n"),
    ("trailing-equals", "a lone equals sign at the end", _ESCAPED.rstrip() + b"="),
):
    encodings.add(f"qp-{_name}", _technique, partial(_encoded_as, _QP, _body), PROGRAM)


@encodings.case("quoted-printable inside base64, declared in two fields", PROGRAM)
def stacked_two_fields() -> bytes:
    return _encoded_as(BASE64 + _QP, b64(_ESCAPED))


@encodings.case("base64 inside quoted-printable", PROGRAM)
def stacked_in_one_field() -> bytes:
    return _encoded_as(
        b"Content-Transfer-Encoding: quoted-printable, base64\r\n", quoted(program64(), soft=b"=\r\n")
    )


@encodings.case("base64 twice over, declared twice", PROGRAM)
def base64_twice() -> bytes:
    return _encoded_as(BASE64 + BASE64, b64(program64()))


@encodings.case("a program in 8bit that is a script", SCRIPT)
def script_in_8bit() -> bytes:
    return _encoded_as(b"Content-Transfer-Encoding: 8bit\r\n", payloads.VBSCRIPT, b"run.vbs")


@encodings.case("a program in binary", PROGRAM)
def binary() -> bytes:
    return _encoded_as(b"Content-Transfer-Encoding: binary\r\n", payloads.windows_program())


@encodings.case("a program without any encoding, its NUL bytes as they are", PROGRAM)
def no_encoding_binary() -> bytes:
    return _encoded_as(b"", payloads.windows_program())


@encodings.case("a multipart that declares base64 for itself, its parts in clear", PROGRAM)
def multipart_declared_base64() -> bytes:
    return mail(part(MIXED + BASE64, parts(TEXT, program())))


@encodings.case("a multipart whose body really is in base64", PROGRAM)
def multipart_in_base64() -> bytes:
    return mail(part(MIXED + BASE64, b64(parts(TEXT, program()))))


@encodings.case("a multipart in quoted-printable", PROGRAM)
def multipart_in_qp() -> bytes:
    return mail(part(MIXED + _QP, quoted(parts(TEXT, program()))))


def _header_and(first: bytes) -> bytes:
    return first + TOP + multipart(TEXT, program())


for _name, _technique, _first in (
    ("continuation-first", "the message begins with a continuation line", b" and so on\r\n"),
    ("blank-first", "the message begins with an empty line", b"\r\n"),
    (
        "mbox-first",
        "the message begins with an mbox line",
        b"From alice@sender.example Mon Nov  2 09:00:00 2026\r\n",
    ),
    ("junk-first", "the message begins with a line that is no field", b"no field at all\r\n"),
    ("long-field", "a field of 200 kB before the type", b"X-Long: " + b"a" * 200_000 + b"\r\n"),
    ("many-fields", "five thousand fields before the type", b"X-Field: a\r\n" * 5000),
    ("bom", "a byte order mark before the first field", b"\xef\xbb\xbf"),
    ("no-name", "a field without a name", b": nothing\r\n"),
    ("spaces-line", "a line of spaces as the first line of all", b"   \r\n"),
):
    headers.add(_name, _technique, partial(_header_and, _first), PROGRAM | STOPPED)


@headers.case("no MIME-Version", PROGRAM)
def no_mime_version() -> bytes:
    return letter(program()).replace(b"MIME-Version: 1.0\r\n", b"")


@headers.case("a MIME-Version of the future", PROGRAM)
def mime_version_two() -> bytes:
    return letter(program()).replace(b"MIME-Version: 1.0\r\n", b"MIME-Version: 2.0 (odd)\r\n")


@headers.case("the header ends in a line of spaces", PROGRAM)
def end_of_spaces() -> bytes:
    return TOP + MIXED + b"  \t\r\n" + parts(TEXT, program())


@headers.case("LF for every line end", PROGRAM)
def lf_alone() -> bytes:
    return letter(program()).replace(b"\r\n", b"\n")


@headers.case("CR for every line end", PROGRAM | STOPPED)
def cr_alone() -> bytes:
    return letter(program()).replace(b"\r\n", b"\r")


@headers.case("two CR before each LF", PROGRAM)
def cr_cr_lf() -> bytes:
    return letter(program()).replace(b"\r\n", b"\r\r\n")


@headers.case("CRLF in the header, LF in the body", PROGRAM)
def mixed_ends() -> bytes:
    head, _, body = letter(program()).partition(b"\r\n\r\n")
    return head + b"\r\n\n" + body.replace(b"\r\n", b"\n")


@headers.case("LF then CR for line ends in the part's header", PROGRAM)
def lf_cr() -> bytes:
    return letter(program().replace(b"\r\n", b"\n\r", 4))


@headers.case("a part whose header has a line of spaces before the encoding", PROGRAM)
def part_spaces_line() -> bytes:
    return letter(part(OCTETS + b" \t\r\n" + BASE64 + named(b"setup.exe"), program64()))


@headers.case("a part whose header has a line that is no field", PROGRAM)
def part_junk_line() -> bytes:
    return letter(part(OCTETS + b"no field\r\n" + BASE64 + named(b"setup.exe"), program64()))


QUOTED = b"Content-Transfer-Encoding: quoted-printable\r\n"
INDENTED = (
    ("part-indented-first", "the encoding is the first line of a part and indented", b" ", b""),
    ("part-indented", "the encoding is indented, so that it folds the line before", OCTETS + b" ", b""),
    (
        "part-indented-tab",
        "the same with a tab and fields behind",
        OCTETS + b"\t",
        b"Content-ID: <3@sender.example>\r\n",
    ),
    ("part-cr-indented", "a bare CR and a space before the encoding", OCTETS[:-2] + b"\r ", b""),
    ("part-cr-control", "a bare CR and a control character before the encoding", OCTETS[:-2] + b"\r\x13", b""),
    ("part-crlf-lf", "an LF alone makes an empty line before the encoding", OCTETS + b"\n", b""),
    (
        "part-lf-crlf",
        "an LF before the CRLF makes an empty line before the encoding",
        OCTETS[:-2] + b"\n\r\n",
        b"",
    ),
)


def _hidden_encoding(before: bytes, behind: bytes) -> bytes:
    """A program in quoted-printable, whose encoding is said in a field with these bytes before and behind it."""
    return letter(part(named(b"setup.exe") + before + QUOTED + behind, quoted(payloads.windows_program())))


for _name, _technique, _before, _behind in INDENTED:
    headers.add(_name, _technique, partial(_hidden_encoding, _before, _behind), PROGRAM)


@headers.case("the encoding of a part follows an empty line, as if it were its first words", PROGRAM)
def part_late_encoding() -> bytes:
    body = QUOTED + b"\r\n" + quoted(payloads.windows_program())
    return letter(part(OCTETS + named(b"setup.exe"), body))


@headers.case("the same, indented, and without an empty line behind it", PROGRAM)
def part_late_indented() -> bytes:
    return letter(part(OCTETS + named(b"setup.exe"), b" " + BASE64 + program64()))


@headers.case("two empty lines before quoted-printable", PROGRAM)
def part_two_blanks() -> bytes:
    return letter(part(OCTETS + QUOTED + named(b"setup.exe"), b"\r\n" + quoted(payloads.windows_program())))


@headers.case("the name of the encoding's field is folded before its colon", PROGRAM)
def part_folded_name() -> bytes:
    fields = OCTETS + b"Content-Transfer-Encoding\r\n :quoted-printable\r\n" + named(b"setup.exe")
    return letter(part(fields, quoted(payloads.windows_program())))


@headers.case("the only Content-Type of the message is indented", PROGRAM)
def type_indented() -> bytes:
    return TOP + b" " + MIXED + b"\r\n" + parts(TEXT, program())


@headers.case("a part whose fields follow an empty line", PROGRAM)
def part_blank_first() -> bytes:
    return letter(b"\r\n" + program())


@headers.case("a part without an empty line between header and base64", PROGRAM)
def part_without_empty_line() -> bytes:
    return letter(OCTETS + named(b"setup.exe") + BASE64 + program64())


@headers.case("field names with spaces before the colon in a part", SCRIPT)
def part_spaced_names() -> bytes:
    fields = b"Content-Type : application/octet-stream; name=run.vbs\r\nContent-Transfer-Encoding\t: base64\r\n"
    return letter(part(fields, b64(payloads.VBSCRIPT)))


@headers.case("field names in the old style of X-Sun mail with NUL", SCRIPT)
def part_nul_in_name() -> bytes:
    fields = b"Content-Type\0: application/octet-stream; name=run.vbs\r\nContent-Transfer-Encoding: base64\r\n"
    return letter(part(fields, b64(payloads.VBSCRIPT)))


@headers.case("a part's header of 300 kB", PROGRAM | STOPPED)
def part_long_header() -> bytes:
    return letter(
        part(OCTETS + b"X-Long: " + b"a " * 150_000 + b"\r\n" + BASE64 + named(b"setup.exe"), program64())
    )


@headers.case("everything ordinary, as a touchstone", PROGRAM)
def ordinary() -> bytes:
    return attached(payloads.windows_program(), b"setup.exe")
