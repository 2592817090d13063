"""Near misses of domains: what could be taken for a known one, and what is simply another."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect.domains_alike import Alike, How, split

KNOWN = [
    *("kings-school.sch.uk", "dulwich-college.org.uk", "gmail.com", "ymail.com", "mail.com", "hill.surrey.sch.uk"),
    *("greenfields.surrey.sch.uk", "parentpay.com", "bbc.co.uk", "outlook.com"),
]


@pytest.fixture(scope="module")
def alike() -> Alike:
    return Alike(KNOWN)


@pytest.mark.parametrize(
    ("domain", "known", "how"),
    [
        ("kings-scholl.sch.uk", "kings-school.sch.uk", How.SLIP),
        ("kings-shcool.sch.uk", "kings-school.sch.uk", How.SLIP),
        ("kings-schooll.sch.uk", "kings-school.sch.uk", How.SLIP),
        ("kings-schol.sch.uk", "kings-school.sch.uk", How.SLIP),
        ("Kings-Scholl.SCH.UK.", "kings-school.sch.uk", How.SLIP),
        ("kingsschool.sch.uk", "kings-school.sch.uk", How.LOOKS),
        ("klngs-schoo1.sch.uk", "kings-school.sch.uk", How.LOOKS),
        ("dulvvich-college.org.uk", "dulwich-college.org.uk", How.LOOKS),
        ("pаrentpay.com", "parentpay.com", How.LOOKS),  # a Cyrillic а
        ("раrentpay.com", "parentpay.com", How.LOOKS),
        ("parentpay.co.uk", "parentpay.com", How.ENDING),
        ("kings-school.com", "kings-school.sch.uk", How.ENDING),
        ("mail.kings-scholl.sch.uk", "kings-school.sch.uk", How.SLIP),
        ("kings-school.sch.uk.login-mail.com", "kings-school.sch.uk", How.BELOW),
        ("grenfields.surrey.sch.uk", "greenfields.surrey.sch.uk", How.SLIP),
        ("outlok.com", "outlook.com", How.SLIP),
        ("gmai1.com", "gmail.com", How.LOOKS),
    ],
)
def test_a_near_miss(alike: Alike, domain: str, known: str, how: How) -> None:
    """One slip of the finger sends a child's file to a stranger (KCS 2.10a)."""
    found = alike.near(domain)
    assert found is not None
    assert (found.known, found.how) == (known, how)


@pytest.mark.parametrize(
    "domain",
    [
        *KNOWN,
        "mail.kings-school.sch.uk",
        "abc.co.uk",  # short names are all near each other
        "hall.surrey.sch.uk",
        "greenfields.kent.sch.uk",  # every council has a school of that name
        "queens-school.sch.uk",
        "dulwich-prep.org.uk",
        "example.com",
        "localhost",
        "",
        "sch.uk",
        "x" * 5000 + ".com",
        "xn--a.com",
    ],
)
def test_no_near_miss(alike: Alike, domain: str) -> None:
    """Known ones, names below them, short names, and names that are simply other."""
    assert alike.near(domain) is None


def test_consumer_domains_are_no_slips_of_each_other_and_only_the_guarded_are_imitated() -> None:
    """ymail.com is a provider, not a slip of gmail.com."""
    alike = Alike([*KNOWN, "yahoo.co.uk"], guarded=["kings-school.sch.uk"])
    assert alike.near("ymail.com") is None
    assert alike.near("outlok.com") is None
    assert alike.near("kings-schol.sch.uk") is not None


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("mail.school.sch.uk", ("mail", "school.sch.uk")),
        ("school.surrey.sch.uk", ("school", "surrey.sch.uk")),
        ("firm.co.uk", ("firm", "co.uk")),
        ("www.firm.com", ("firm", "com")),
        ("uk", ("uk", "")),
    ],
)
def test_names_and_endings(domain: str, expected: tuple[str, str]) -> None:
    """A school lies under its council; other firms directly under the ending."""
    assert split(domain) == expected


@given(st.text(max_size=80))
def test_whatever_the_name_nothing_raises(domain: str) -> None:
    """And what is known is never a near miss of itself."""
    alike = Alike([*KNOWN, domain])
    assert alike.near(domain) is None
    alike.near(f"{domain}.sch.uk")


@given(st.integers(0, 11), st.sampled_from("abcxyz"))
def test_every_single_slip_of_a_long_name_is_found(at: int, letter: str) -> None:
    """Left out, put in, changed: one letter anywhere."""
    name = "wimbledonian"
    alike = Alike([f"{name}.org.uk"])
    for slip in (name[:at] + name[at + 1 :], name[:at] + letter + name[at:], name[:at] + letter + name[at + 1 :]):
        if slip != name:
            found = alike.near(f"{slip}.org.uk")
            assert found is not None, slip


def test_thousands_of_known_domains_cost_a_look_up_nothing() -> None:
    """The index grows, the look-up does not."""
    alike = Alike(f"school-number-{number}.sch.uk" for number in range(5_000))
    started = time.process_time()
    for number in range(1000):
        alike.near(f"college-number-{number}.example.org")
    assert time.process_time() - started < 1
