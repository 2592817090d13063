"""What must hold for every message, however it came to be: reading ends, in time and size bounded by its own."""

from __future__ import annotations

import ast
import base64
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.messages import HEADER, PROGRAM, b64, file_part, found, message, multipart, text_part, uu

from gatepost_milter import inspection
from gatepost_milter.inspection import encodings, reader
from gatepost_milter.inspection.boundaries import Lines
from gatepost_milter.inspection.defects import DEFECTS, Severity, severity

_SCRAPS = st.sampled_from([
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"=", b'"', b"\\", b"(", b")", b"--", b"--outer",
        b"--outer--",
    b"--inner", b"Content-Type: ", b"Content-Transfer-Encoding: ", b"Content-Disposition: attachment; ",
    b"multipart/mixed; boundary=outer", b'multipart/mixed; boundary="inner"', b"message/rfc822", b"text/html",
    b"message/partial", b"base64", b"quoted-printable", b"x-uuencode", b"filename=", b"filename*0*=utf-8''%2e",
    b"name*1=", b"setup.exe", b"=?utf-8?Q?=2e?=", b"begin 644 a.exe\n", b"=ybegin line=1 size=1 name=a\n",
        b"TVqQAAMAAAAE",
    b"AAAA=", b"=41", b"=", b"\xff\xfe", b"\xe2\x80\xae", HEADER, text_part(), file_part(), uu(b"MZ"),
])  # fmt: skip
_WHOLE = multipart(text_part(), multipart(text_part(), file_part(), boundary=b"inner"), file_part(b"b.zip"))


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A good message with a few scraps put in or pieces taken out."""
    data = bytearray(message(_WHOLE))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 20))] = draw(_SCRAPS)
    return bytes(data)


_MESSAGES = st.one_of(st.binary(max_size=2000), st.lists(_SCRAPS, max_size=60).map(b"".join), _mutated())


@settings(max_examples=400, deadline=None)
@given(_MESSAGES)
def test_reading_never_raises_and_stays_inside_the_message(data: bytes) -> None:
    """Inspection never raises on content; leaves are slices of the message; defects are those of the table."""
    reading = reader.read(data, max_parts=200)
    for leaf in reading.leaves:
        assert 0 <= leaf.start <= leaf.end <= len(data)
        decoded = encodings.decode(data[leaf.start : leaf.end], leaf.encoding)
        assert decoded
        assert sum(len(content) for _, content in decoded) <= 8 * len(data) + 64
    assert {defect.code for defect in reading.defects} <= set(DEFECTS)
    assert len(reading.parts) <= 400


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=500), st.sampled_from(["identity", "base64", "quoted-printable", "uuencode", "yenc", "?"])
)
def test_decoding_never_raises(data: bytes, encoding: str) -> None:
    """Decoding runs where a crash would cost an inspector."""
    assert encodings.decode(data, encoding)
    assert isinstance(encodings.embedded(data), list)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_clean_encodings_have_one_reading(content: bytes) -> None:
    """What is encoded by the book is decoded once, and exactly."""
    assert encodings.decode(b64(content), "base64") == [("base64", content)]
    assert (b"a", content) in encodings.embedded(uu(content, b"a").replace(b"\n", b"\r\n"))


@st.composite
def _nearly_faultless(draw: st.DrawFn) -> bytes:
    """Base64 in lines of one length, of which at most a few bytes are wrong."""
    letters = base64.b64encode(draw(st.binary(max_size=150)))
    width, ending = draw(st.sampled_from([4, 8, 10, 400])), draw(st.sampled_from([b"\n", b"\r\n"]))
    lines = [letters[at : at + width] for at in range(0, len(letters), width)]
    data = bytearray(ending.join(lines) + draw(st.sampled_from([b"", ending, ending * 3, b"\n" * 1100])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        wrong = draw(
            st.sampled_from([b"", b"=", b"==", b"\n", b"\r\n", b"A", b"AA==", b"AAA=", b"!", b"\0", b" "])
        )
        data[at : at + draw(st.integers(0, 4))] = wrong
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(_nearly_faultless(), st.sampled_from([1, 4, 24, 100, 500]), st.binary(max_size=3), st.binary(max_size=3))
def test_faultless_base64_is_what_the_long_way_shows(data: bytes, piece: int, before: bytes, after: bytes) -> None:
    """What is decoded quickly, in pieces or whole, has no other reading; pieces miss nothing but long lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "_clean_base64", lambda _: None)
        longer = encodings.decode(data, "base64")
    whole = _faultless(data, max(len(data), 1))
    within = _faultless(before + data + after, piece, len(before), len(before) + len(data))
    assert whole is None or longer == [("base64", whole)]
    assert within is None or within == whole
    assert whole is None or within is not None or max(map(len, data.splitlines())) > piece


def _faultless(data: bytes, piece: int, start: int = 0, end: int | None = None) -> bytes | None:
    try:
        return b"".join(encodings.faultless(data, start, len(data) if end is None else end, piece=piece))
    except encodings.FaultyError:
        return None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3), st.data())
def test_one_scrap_does_not_hide_a_program(field: int, data: st.DataObject) -> None:
    """Blanks and line breaks that clients forgive, put where they forgive them, never hide an attachment."""
    places = [
        b"Content-Transfer-Encoding:",
        b"Content-Type: application/octet-stream;",
        b"Content-Disposition:",
        b"--outer",
    ]
    scrap = data.draw(
        st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"(x)", b" (x) "] if field < 3 else [b" ", b"\t"])
    )
    part = multipart(text_part(), file_part())
    at = part.rindex(places[field]) if field < 3 else part.index(b"--outer\r\n" + b"Content-Type: app")
    at += len(places[field])
    changed = message(part[:at] + scrap + part[at:])
    assert any(each.content.strip() == PROGRAM and "setup.exe" in each.names for each in found(changed))


_PATHOLOGICAL = {
    "many-parts": multipart(*[text_part()] * 5000),
    "many-boundaries": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n" * 200_000,
    "nested-multiparts": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(10_000)),
    "nested-same-boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 10_000,
    "nested-messages": b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
    "junk-header": b"x\r\n" * 300_000,
    "folded-header": b"Content-Type: a/b\r\n" + b" x\r\n" * 250_000,
    "bare-cr-header": b"Content-Type: a/b\r" * 50_000,
    "spaces-in-parameters": b"Content-Type: text/plain; name" + b" " * 60_000 + b"x\r\n\r\nx",
    "comments": b"Content-Type: text/plain " + b"(\\" * 30_000 + b"\r\n\r\nx",
    "odd-parameters": multipart(*[
        b"Content-Type: a/b" + b"; name*0*=\"utf-8''%41(=?x?q?a?=\\\r\n " * 80 + b"%d\r\n\r\nx\r\n" % at
        for at in range(300)]),
    "begin-lines": b"\r\n" + b"begin 644 a\n" * 80_000,
    "guessed": b"Content-Type: multipart/mixed\r\n\r\n" + b"".join(
        b"--x%d\r\nContent-Type: text/plain\r\n\r\n" % at for at in range(20_000)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", _PATHOLOGICAL)
def test_hostile_messages_cost_bounded_time(name: str) -> None:
    """The worst of these takes about two seconds of processor time; a quadratic reader takes hours."""
    started = time.process_time()
    reading = reader.read(message(_PATHOLOGICAL[name]), max_parts=2000)
    assert time.process_time() - started < 12
    assert len(reading.defects) < 500


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"),
    [("many-parts", "too-many-parts"), ("nested-multiparts", "too-deep"), ("nested-messages", "too-deep"),
     ("odd-parameters", "header-long"), ("junk-header", "header-long"), ("begin-lines", "too-many-parts"),
     ("guessed", "too-many-parts")],
)  # fmt: skip
def test_a_limit_is_told(name: str, code: str) -> None:
    """What was not read must never look as if it had been: a limit is an uninspectable defect."""
    codes = {defect.code for defect in reader.read(message(_PATHOLOGICAL[name]), max_parts=2000).defects}
    assert code in codes
    assert severity(code) is Severity.UNINSPECTABLE


@pytest.mark.parametrize(
    ("part", "code"),
    [(b"Content-Type: message/partial; id=a; number=1; total=2\r\n\r\nx\r\n", "message-partial"),
     (b"Content-Type: message/external-body; access-type=anon-ftp\r\n\r\nContent-Type: a/b\r\n\r\n",
        "external-body")],
)  # fmt: skip
def test_what_is_not_in_the_message_cannot_be_inspected(part: bytes, code: str) -> None:
    """Pieces and references are put together by the client, behind our back."""
    reading = reader.read(message(multipart(text_part(), part)), max_parts=100)
    assert code in {defect.code for defect in reading.defects}
    assert severity(code) is Severity.UNINSPECTABLE


def test_the_deadline_is_told() -> None:
    """A reader that ran out of time says so."""
    reading = reader.read(message(_WHOLE), max_parts=100, until=time.monotonic() - 1)
    assert [defect.code for defect in reading.defects] == ["deadline"]


def test_every_defect_in_the_code_is_in_the_table() -> None:
    """The table is what the documentation lists and policies name; an unknown code counts as uninspectable."""
    used: set[str] = set()
    for path in Path(inspection.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values = [keyword.value for keyword in node.keywords if name == "Defect" and keyword.arg == "code"]
            values += node.args[:1] if name in ("_defect", "_reading") else []
            used |= {
                value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
    assert len(used) > 20
    assert used <= set(DEFECTS)


def test_every_defect_of_the_table_can_happen() -> None:
    """A code that nothing tells is a promise that nobody keeps."""
    words: set[str] = set()
    for path in Path(inspection.__file__).parent.rglob("*.py"):
        if path.name != "defects.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            words |= {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    # The codes of lost inspectors are put together from the way in which one was lost.
    assert {
        code for code in DEFECTS if code not in words and code.removeprefix("inspector-") not in words
    } == set()


def test_the_table_speaks_plainly() -> None:
    """Each defect has one sentence that an administrator understands."""
    for code, kind in DEFECTS.items():
        assert code == code.lower().replace("_", "-")
        assert kind.meaning.endswith(".")
        assert 20 < len(kind.meaning) < 110


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("fill", [131_000, 131_050, 131_072])
def test_a_boundary_is_found_wherever_it_stands_in_a_long_message(end: bytes, fill: int) -> None:
    """The message is gone through in pieces; a piece that ended inside a boundary line would hide the part."""
    text = b"Content-Type: text/plain\r\n\r\n" + b"a-b\r\n" * 4 + b"x" * fill + b"\r\n"
    whole = message(multipart(text, file_part(), file_part(b"b.exe"))).replace(b"\r\n", end)
    names = {name for leaf in reader.read(whole, max_parts=50).leaves for name in leaf.names}
    assert {"setup.exe", "b.exe"} <= names


def test_going_through_in_pieces_finds_the_lines_that_one_pass_finds() -> None:
    """Most of a message is skipped from hyphen to hyphen; no line may be lost, cut or made up on the way."""
    chance = random.Random(3)
    line = re.compile(rb"--([^\r\n]{0,1000})[^\r\n]*(?:\r\n|\n|\r)?")
    for _ in range(300):
        scraps = [b"--", b"-", b"--b", b"\r\n", b"\n", b"\r", b"\r\n--b--\r\n", b"x" * chance.randint(0, 900)]
        scraps += [b"A" * 76 + b"\r\n", b"y" * chance.choice([4085, 4095, 4096, 5000])]
        data = b"".join(chance.choices(scraps, k=chance.randint(1, 60)))
        whole = [each for each in line.finditer(data) if data[: each.start()][-1:] in (b"", b"\n", b"\r")]
        lines = Lines(data)
        assert [each.start() for each in whole] == lines.starts
        assert [each.end() for each in whole] == lines.ends
        assert [each[1].rstrip(b" \t") for each in whole] == lines.texts
