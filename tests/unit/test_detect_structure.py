"""The shape of a text: forwards, quoted recipients, pasted addresses, shouting, a salutation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect import structure
from gatepost_milter.detect.pages import Page
from gatepost_milter.detect.structure import Structure

GMAIL = (
    "---------- Forwarded message ---------\n"
    "From: Anna <anna@a.example>\nDate: Mon\nSubject: fun\nTo: me@b.example\n\n"
)
OUTLOOK = (
    "From: Ben Bell\nSent: 3 March 2026 10:00\nTo: a@x.example; b@x.example; c@x.example\nSubject: FW: fun\n\n"
)


def _read(text: str, subject: str = "") -> Structure:
    return Structure(Page(text), subject=subject)


@pytest.mark.parametrize(
    ("subject", "count"),
    [
        ("Fwd: Fw: Re: FW: fun", 3),
        ("Re: trip", 0),
        ("FW[2]: x", 1),
        ("Forward planning: Fw", 0),
        ("", 0),
        ("WG: x", 1),
    ],
)
def test_forwards_in_a_subject(subject: str, count: int) -> None:
    """Three of them are a joke's way through the world (IDENTIFIERS 17)."""
    assert structure.forwards_in(subject) == count


def test_forwards_in_the_text() -> None:
    """By the marks of the mail programs, in the margins that they leave."""
    found = _read(f"Look!\n{GMAIL}> {GMAIL}Begin forwarded message:\n{OUTLOOK}ha")
    assert (found.forwards, found.earlier) == (3, 3)
    assert _read("a plain letter").forwards == 0
    assert _read(GMAIL, subject="Fwd: Fwd: Fwd: Fwd: fun").forwards == 4


def test_a_reply_is_an_earlier_message_and_no_forward() -> None:
    """A thread of answers is everyday work."""
    found = _read(
        f"Thanks.\n\n{OUTLOOK}Can you come?\n\nOn Mon, 2 Mar 2026, Ben\n<b@x.example> wrote:\n> well?", "Re: trip"
    )
    assert (found.forwards, found.earlier) == (0, 2)


def test_quoted_recipients_are_counted() -> None:
    """A chain letter brings the addresses of all who had it before."""
    found = _read(
        f"{OUTLOOK}\n> To: a@x.example, b@x.example, c@x.example, d@x.example\n> Cc: e@x.example\nTo: you; and me"
    )
    assert (found.blocks, found.shown) == (2, 7)


def test_pasted_addresses_are_counted_once_each() -> None:
    """Forty parents in the body are forty parents, however they are written (scenario 34)."""
    pasted = "\n".join(f"Parent {number} <Parent.{number}@Home{number}.example>;" for number in range(40))
    assert len(structure.addresses(Page(pasted + pasted.lower()))) == 40
    assert structure.addresses(Page("Write to office@school.example.")) == ("office@school.example",)
    odd = "Message-ID: <1.2@mail.example>\n<cid:image001.png@01DAF.8A0>\n[cid:logo@x.example] user@localhost a@b"
    assert structure.addresses(Page(odd)) == ()


def test_own_words_end_where_an_earlier_message_begins() -> None:
    """What colleagues quote is not what they say (KCS 2.4, 3.5)."""
    for quoted in (
        GMAIL,
        OUTLOOK,
        "-----Original Message-----\n",
        "On Mon, Ben <b@x.example> wrote:\n",
        "> you idiot\n",
    ):
        assert (
            structure.own_words(
                Page(f"Thanks!\n{quoted}idiot" if quoted[0] != ">" else f"Thanks!\n{quoted}")
            ).strip()
            == "Thanks!"
        )
    page = Page("Nothing is quoted. On Monday she wrote: come.")
    assert structure.own(page) is page
    assert structure.own(Page("a\n> b\nc")).plain == "a\nc"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("READ THIS NOW, EVERYBODY, OR ELSE, I MEAN IT THIS TIME", 100),
        ("Read this now, everybody, or else, I mean it this time!", 4),
        ("OK", 0),
        ("1234567890" * 10, 0),
    ],
)
def test_shouting(text: str, share: int) -> None:
    """Per cent of capitals; a few letters say nothing."""
    assert abs(structure.capitals(text) - share) <= 1


@pytest.mark.parametrize(
    "text", ["Dear Mr Smith,\nplease", "\n\nHi Anna", "Anna,\nplease", "Good morning all", "All,\nplease"]
)
def test_a_salutation(text: str) -> None:
    """The principal addressee is named (KCS 2.10b)."""
    assert _read(text).salutation


@pytest.mark.parametrize("text", ["Please come at 4.", "", "FYI see below\n" + GMAIL + "Dear Ben,", "x" * 5000])
def test_no_salutation(text: str) -> None:
    """A quoted one is somebody else's."""
    assert not _read(text).salutation


@given(st.text(alphabet="From: To<a@b.c>\n >wrote:On-;FWd", max_size=300), st.text(max_size=40))
def test_whatever_stands_there_nothing_raises(text: str, subject: str) -> None:
    """All counts agree with each other."""
    found = _read(text, subject)
    assert found.shown >= 3 * found.blocks
    assert 0 <= found.capitals <= 100


@given(
    st.lists(st.sampled_from([*GMAIL.splitlines(True), *OUTLOOK.splitlines(True), "hi\n", "Fwd: "])).map("".join)
)
def test_what_quotes_nothing_at_a_quick_look_quotes_nothing(text: str) -> None:
    """The quick look spares the slow one, and must not change what it would find."""
    page = Page(text)
    assert structure.quotes(page) or structure.own_words(page) == text
    marks = [mark.search(page.lowered) for mark in (structure._FORWARDED, structure._QUOTED)]
    assert Structure(page).own is not page or marks == [None, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "from: a\n",
        "on x\n",
        "on on on ",
        "to: a@b.cc;",
        ">",
        "> > ",
        "a@",
        "a@b.cc ",
        "a",
        "fwd: ",
        "-- original ",
        "\n\n",
        "wrote:\n",
    ],
)
def test_five_megabytes_take_linear_time(unit: str) -> None:
    """Margins, marks and addresses without end."""
    text = unit * (5_000_000 // len(unit))
    started = time.process_time()
    _read(text, subject=text)
    assert time.process_time() - started < 10
