"""Text as a person sees it: charsets that lie, and HTML that hides."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.inspection import text
from gatepost_milter.inspection.model import Text
from gatepost_milter.inspection.words import decode_bytes, decode_words


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        ("für".encode(), "utf-8", "für"),
        (b"f\xfcr", "iso-8859-1", "für"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        (b"f\xfcr", "utf-8", "für"),
        ("für".encode(), "", "für"),
        ("für".encode(), "no-such-charset", "für"),
        ("für".encode(), "us-ascii", "fÃ¼r"),
        ("für".encode("utf-16"), "utf-8", "für"),
        (b"+AGYA/ABy-", "utf-7", "für"),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本"),
        (b"x" * 100, "idna", "x" * 100),
        (b"a\r\nb", "utf-8", "a\nb"),
    ],
)
def test_text_is_read_in_its_charset(data: bytes, charset: str, expected: str) -> None:
    """An unknown or wrong charset is read as well as can be: words must reach the text rules."""
    assert text.make(data, "identity", charset, is_html=False) == expected


def test_text_is_decoded_first() -> None:
    """Quoted-printable and base64 are undone before the charset."""
    assert text.make(b"f=C3=BCr", "quoted-printable", "utf-8", is_html=False) == "für"
    assert text.make(b"ZsO8cg==\r\n", "base64", "utf-8", is_html=False) == "für"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>Hello&nbsp;<b>you</b></p>", "Hello you"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\tb"),
        (
            "<table><tr> <th>UPN</th>\n<th>Name</th></tr> <tr><td></td> <td>Lark</td></tr></table>",
            "UPN\tName\n\tLark",
        ),
        ("<table><tr><td><table><tr><td>a</td></tr></table></td></tr></table>b", "a\nb"),
        ("con<span></span>fi<!-- x -->den<b></b>tial", "confidential"),
        ("<script>var x = '<p>no</p>';</script>yes", "yes"),
        ("<STYLE>p { }</STYLE>yes", "yes"),
        ("<div style='display: none'>no<div>no</div>no</div>yes", "yes"),
        ("<p hidden>no</p>yes", "yes"),
        ('<span style="font-size:0">no</span>yes', "yes"),
        ('<span style="font-size:0.9em">yes</span>', "yes"),
        ("<img alt='a picture' src=x>", "a picture"),
        ("a < b and c > d", "a < b and c > d"),
        ("&lt;b&gt; &#x41;", "<b> A"),
        ("<a title='>' href=x>yes</a>", "yes"),
        ('<a title="no>yes', "yes"),
        ('<a href="x"">bank.example</a> <b title="y">pays</b>', "bank.example pays"),
        ("<a 'x href=y>it's</a> here", "it's here"),
        ('<a ="x>yes</a>" z', 'yes" z'),
        ('<a b = "no>no" c>yes</a>', "yes"),
        ('<a b=x"y>yes</a>"', 'yes"'),
        ("<a b=>yes</a>", "yes"),
        ("<br/><a/b/>yes", "yes"),
        ("<!-- never closed", ""),
        ("yes<script>never closed", "yes"),
        ("<![CDATA[x]]>yes", "yes"),
        ("<>yes", "<>yes"),
    ],
)
def test_html_is_what_a_person_sees(source: str, expected: str) -> None:
    """Words broken by tags are whole words; what is hidden is not read to anybody."""
    assert text.shown(source).replace("\xa0", " ") == expected


def test_a_page_states_its_own_charset() -> None:
    """Without a charset in the header the page's own word counts."""
    page = b'<html><head><meta charset="windows-1251"></head><p>' + "да".encode("windows-1251") + b"</p></html>"
    assert text.make(page, "identity", "", is_html=True) == "да"


@given(st.text(alphabet=st.sampled_from("<>!-/'\"= abp&#;script"), max_size=300))
def test_any_page_is_read(source: str) -> None:
    """Whatever stands in a page, reading it ends."""
    assert isinstance(text.shown(source), str)


@pytest.mark.parametrize(
    "source",
    ['<a "' * 100_000, "<a x='" * 100_000, "<!--" * 100_000, "<script>" * 50_000, "&#" * 200_000, "<" * 200_000,
     "<div hidden>" * 30_000, "<b> </b>" * 60_000, " \n" * 200_000, "</" * 200_000, "<style></style " * 30_000],
)  # fmt: skip
def test_reading_takes_linear_time(source: str) -> None:
    """The standard library's parser takes hours over some of these."""
    started = time.process_time()
    text.shown(source)
    assert time.process_time() - started < 3.0


def test_text_is_made_when_it_is_asked_for_and_once() -> None:
    """Most messages are judged without a look at their words."""
    calls: list[int] = []

    def make() -> str:
        calls.append(1)
        return "words"

    lazy = Text(where="part 1", text=make)
    assert calls == []
    assert (lazy.text, lazy.text) == ("words", "words")
    assert calls == [1]
    assert lazy == Text(where="part 1", text="words")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?utf-8?q?f=C3=BCr?=", "für"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8*en?q?a_b?=", "a b"),
        ("=?iso-8859-1?Q?f=FCr?= x", "für x"),
        ("=?utf-8?b?ZsO8cg?=", "für"),
        ("=?utf-8?b?Z s O 8 c g?=", "für"),
        ("=?broken", "=?broken"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
    ],
)
def test_encoded_words(value: str, expected: str) -> None:
    """Subjects and names are read as clients read them (RFC 2047), broken ones too."""
    assert decode_words(value) == expected


@given(st.binary(max_size=100), st.text(max_size=20))
def test_any_bytes_decode_in_any_charset(data: bytes, charset: str) -> None:
    """A charset is a word that a stranger chose."""
    assert isinstance(decode_bytes(data, charset), str)
