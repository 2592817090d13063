"""Which display names a reader would take for which person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_config.names import Name, parse_name


@pytest.mark.parametrize(
    ("display", "name"),
    [
        ("Anita Patel", Name(given=("anita",), surname="patel")),
        ("Mr A. Patel", Name(given=("a",), surname="patel", titled=True)),
        ("PATEL, Anita", Name(given=("anita",), surname="patel")),
        ("Patel, Mrs Anita (Maths)", Name(given=("anita",), surname="patel", titled=True)),
        ("Dr. José O'Brien-Núñez PhD", Name(given=("jose",), surname="obriennunez", titled=True)),
        ("Anita Patel, OBE", Name(given=("anita",), surname="patel")),
        ("Jack Ma", Name(given=("jack",), surname="ma")),
        ("Mr Patel", Name(surname="patel", titled=True)),
        ("Patel", Name(surname="patel")),
        ("Mr", Name(surname="mr")),
        ("12345 (!)", Name()),
        ("", Name()),
    ],
)
def test_a_display_name_is_taken_apart(display: str, name: Name) -> None:
    """Titles, accents, order and brackets differ between mail programs; the name does not."""
    assert name == parse_name(display)


@pytest.mark.parametrize(
    ("shown", "staff", "may_be"),
    [
        ("A Patel", "Anita Patel", True),
        ("Anita Patel", "A. Patel", True),
        ("Anita K Patel", "Anita Patel", True),
        ("Mr Patel", "Anita Patel", True),
        ("Patel", "Anita Patel", False),
        ("Arun Patel", "Anita Patel", False),
        ("B Patel", "Anita Patel", False),
        ("Anita Pate", "Anita Patel", False),
        ("Anita Patel", "Ms Patel", True),
        ("", "", False),
    ],
)
def test_a_reader_takes_initials_and_titles_for_the_person(shown: str, staff: str, may_be: bool) -> None:
    """Too narrow misses the impersonator, too wide tags every parent who shares a surname."""
    assert may_be == parse_name(shown).may_be(parse_name(staff))


@given(st.text(max_size=300))
def test_any_display_name_may_be_asked_about(text: str) -> None:
    """Display names are hostile input."""
    parse_name(text).may_be(parse_name(text))
