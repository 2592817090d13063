"""What detectors read: plain letters whatever disguise they wear, in time proportional to the text."""

from __future__ import annotations

import time

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect import pages
from gatepost_milter.detect.pages import DetectionError, Page, Sieve, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dear Mr Smith", "Dear Mr Smith"),
        ("café crème", "cafe creme"),
        ("cafe\u0301", "cafe"),
        ("don’t “quote” – me…", 'don\'t "quote" - me...'),
        ("pass\u200bword\u00ad", "password"),
        ("943\u00a0476\u20095870", "943 476 5870"),
        ("ＵＰＮ １２３", "UPN 123"),
        ("\u0440\u0430ssword", "password"),
        ("Москва и Ωμέγα", "Москва и Ωμεγα"),
        ("line\u2028line", "line\nline"),
        ("half \ud800 a pair", "half ? a pair"),
        ("\u202eexe.\u202c", "exe."),
    ],
)
def test_letters_are_made_plain(text: str, expected: str) -> None:
    """A disguise that a reader does not see must not hide a word from a rule; honest foreign words stay."""
    assert plain(text) == expected


@given(st.text())
def test_plain_text_is_plain_already(text: str) -> None:
    """Nothing is left to undo, nothing raises, and no letter grows beyond four."""
    once = plain(text)
    assert plain(once) == once
    assert len(once) <= 4 * len(text)


@given(st.text())
def test_offsets_and_lines_are_those_of_the_octets(text: str) -> None:
    """The lower-case form has the same offsets, so what is found in one stands in the other."""
    page = Page(text)
    assert len(page.lowered) == len(page.raw)
    assert page.line(len(page.raw)) == page.plain.count("\n") + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["\u0345\u0334", "\ufdfa", "a\u0300\u0316\u0327", "\ud800", "\u0430b", "\u200b", "é", "\U0001f600"]
)
def test_hostile_letters_cost_no_more_than_others(unit: str) -> None:
    """Descending combining marks make whole-text normalisation quadratic: five seconds for 40,000 of them."""
    text = unit * (2_000_000 // len(unit))
    started = time.process_time()
    _ = Page(text).lowered
    assert time.process_time() - started < 5


def test_a_sieve_names_what_occurs_in_its_own_order() -> None:
    """One pass, however many patterns."""
    sieve = Sieve({"b": "beta", "a": "alpha", "c": "gamma"})
    assert sieve.which(b"alpha then beta") == ["b", "a"]
    assert sieve.which(b"nothing") == []
    assert [match.span() for match in sieve.each("a", b"alpha alpha")] == [(0, 5), (6, 11)]


def test_a_sieve_refuses_what_re2_refuses() -> None:
    """Look-around could take for ever; it is a fault of the list, told when the list is loaded."""
    with pytest.raises(re2.error):
        Sieve({"x": "(?<=a)b"})


def test_a_set_without_memory_is_an_error_and_never_an_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 answers "nothing found" when its memory is used up. That would let a message pass unread."""
    monkeypatch.setattr(pages, "_MEMORY", 3000)
    with pytest.raises((DetectionError, re2.error)):
        Sieve({str(n): rf"word{n}\s+(?:other\s+){{0,3}}thing{n}" for n in range(50)})
