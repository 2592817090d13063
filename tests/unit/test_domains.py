"""Which domains are the school, an institution, or where the public has its mail."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepost_config.addresses import ascii_domain
from gatepost_config.domains import Domains

DOMAINS = Domains(school=["school.example", "Schüle.example"])


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "GoogleMail.com", "hotmail.co.uk", "lineone.net", "tiscali.co.uk", "wp.pl", "gmail.com."],
)
def test_the_public_has_its_mail_here(domain: str) -> None:
    """Old ISP names matter: families kept addresses that no published list knows any more."""
    assert DOMAINS.is_consumer(domain)
    assert not DOMAINS.is_institution(domain)


@pytest.mark.parametrize(
    ("domain", "consumer"),
    [
        ("jones.plus.com", True),
        ("mail.jones.demon.co.uk", True),
        ("jones.freeserve.co.uk", True),
        ("surplus.com", False),
        ("mail.gmail.com", False),
        ("outlook.com.evil.example", False),
    ],
)
def test_only_hosts_of_customers_match_by_suffix(domain: str, consumer: bool) -> None:
    """Some providers gave each family a name of its own below theirs; the others did not."""
    assert consumer == DOMAINS.is_consumer(domain)


@pytest.mark.parametrize(
    ("domain", "group"),
    [
        ("school.example", "school"),
        ("mail.school.example", "school"),
        ("xn--schle-mva.example", "school"),
        ("other.surrey.sch.uk", "school"),
        ("kcl.ac.uk", "education"),
        ("gov.uk", "government"),
        ("nhs.net", "health"),
        ("met.pnn.police.uk", "police"),
        ("secure.cjsm.net", "justice"),
        ("lgflmail.org", "broadband consortium"),
        ("aqa.org.uk", "exam board"),
        ("ucas.com", "admissions"),
        ("jones.plus.com", "Plusnet"),
        ("gmail.com", "webmail-global"),
        ("coachfirm.example", ""),
        ("", ""),
    ],
)
def test_a_domain_has_the_group_of_its_list(domain: str, group: str) -> None:
    """`gatepost directory lookup` shows this word, so that a person can see why an address was counted."""
    assert group == DOMAINS.group(domain)


@pytest.mark.parametrize("domain", ["notgov.uk", "sch.uk.example", "badschool.example", "fakenhs.net"])
def test_a_look_alike_is_no_institution(domain: str) -> None:
    """Suffixes are compared at a dot, never in the middle of a name."""
    assert not DOMAINS.is_institution(domain)
    assert not DOMAINS.is_school(domain)


def test_a_name_below_a_school_domain_is_not_the_school_unless_it_is_listed() -> None:
    """Schools lend such names to mailing services: mail to them leaves the school. Nobody lives there, though."""
    assert DOMAINS.is_school("School.Example.")
    assert not DOMAINS.is_school("news.school.example")
    assert DOMAINS.is_institution("news.school.example")
    assert Domains(school=["school.example", "pupils.school.example"]).is_school("pupils.school.example")


def test_an_institution_always_wins() -> None:
    """Published lists hold schools and hospitals by mistake, and some schools do live below an ISP."""
    domains = Domains(school=["waitrose.com"], institutions=["college.demon.co.uk"], consumers=["nhs.net"])
    assert not domains.is_consumer("waitrose.com")
    assert not domains.is_consumer("mail.college.demon.co.uk")
    assert domains.is_consumer("jones.demon.co.uk")
    assert not domains.is_consumer("nhs.net")


def test_a_school_adds_a_provider_of_its_own() -> None:
    """A village provider is known to nobody but the village."""
    assert not DOMAINS.is_consumer("jones.villagenet.example")
    domains = Domains(school=["school.example"], consumers=["VillageNet.example"])
    assert domains.is_consumer("jones.villagenet.example")
    assert domains.group("jones.villagenet.example") == "added"


@pytest.mark.parametrize("name", ["consumer_domains.tsv", "institution_domains.tsv"])
def test_a_shipped_list_is_clean(name: str) -> None:
    """A stray capital, space or repeated row would be a domain that silently never matches."""
    text = files("gatepost_config").joinpath(name).read_text(encoding="utf-8")
    header, *rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    domains = [row[header.index("domain")] for row in rows]
    assert {len(header)} == {len(row) for row in rows}
    assert domains == [ascii_domain(domain).strip() for domain in domains]
    assert len(domains) == len(set(domains))
    assert {"", "y"} >= {row[header.index("subdomains")] for row in rows}
    assert all(row[header.index("group")] for row in rows)


def test_no_domain_is_in_both_lists() -> None:
    """The institutions win, so a domain in both would be dead data that misleads its reader."""
    text = files("gatepost_config").joinpath("consumer_domains.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        domain = line.partition("\t")[0]
        assert not DOMAINS.is_institution(domain), domain


@given(st.text(max_size=80))
@example("." * 500_000)
@example("a." * 500_000)
def test_any_text_may_be_asked_about(text: str) -> None:
    """Domains come from header fields; a hostile one must neither raise nor be anybody's."""
    DOMAINS.is_consumer(text)
    DOMAINS.is_institution(text)
    DOMAINS.is_school(text)
    DOMAINS.group(text)
