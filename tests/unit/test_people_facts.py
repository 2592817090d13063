"""What a message shows about people: exposed households and private accounts, as real schools meet them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_config.directory import ALWAYS, Approval, Directory, Group, Kind, Person, Span
from gatepost_config.domains import Domains
from gatepost_milter.inspection.model import VisibleRecipient
from gatepost_milter.policy.people import (
    Household,
    PrivateAccount,
    StaffLikeness,
    exposed_households,
    private_recipients,
    private_replies,
    staff_outside,
)

AT = date(2026, 11, 22)
PAST = Span(ends=date(2026, 8, 31))
DOMAINS = Domains(school=["school.example"])


def person(address: str, *kinds: Kind, ties: tuple[str, ...] = (), **rest: object) -> Person:
    """Somebody who is of these kinds, always."""
    roles = tuple((kind, ALWAYS) for kind in kinds)
    return Person(address=address, roles=roles, ties=frozenset(ties), **rest)  # type: ignore[arg-type]


TEACHER = person("a.patel@school.example", Kind.STAFF, name="Anita Patel", personal=("anita.patel@gmail.com",))
COLLEAGUE = person(
    "t.okafor@school.example",
    Kind.STAFF,
    Kind.PARENT,
    name="Tunde Okafor",
    ties=("pupil 4",),
    personal=("okafor.home@gmail.com",),
)
LEAVER = Person(
    address="j.leaver@school.example", name="Jan Leaver", roles=((Kind.STAFF, PAST),), personal=("jan@gmail.com",)
)
PARENTS = [
    person("mother@gmail.com", Kind.PARENT, ties=("pupil 1", "pupil 2"), aliases=("mother@work.example",)),
    person("father@outlook.com", Kind.PARENT, ties=("pupil 1",)),
    person("stepfather@sky.com", Kind.PARENT, ties=("pupil 2",)),
    person("lark@gmail.com", Kind.PARENT, ties=("pupil 3",)),
    person("okafor.home@gmail.com", Kind.PARENT, ties=("pupil 4",)),
    person("untied@gmail.com", Kind.PARENT),
    Person(address="gone@gmail.com", roles=((Kind.PARENT, PAST),), ties=frozenset({"pupil 8"})),
    person("governor@gmail.com", Kind.GOVERNOR),
]
COMMITTEE = Group(name="PTA", agreed=True, members=frozenset({"father@outlook.com", "lark@gmail.com"}))
DIRECTORY = Directory.of(
    people=[TEACHER, COLLEAGUE, LEAVER, *PARENTS],
    groups=[COMMITTEE],
    approvals=[Approval(who="tutor@gmail.com"), Approval(who="*.bulk.example")],
)
NOBODY = Directory.of()


def households(*visible: str, directory: Directory = DIRECTORY) -> list[tuple[str, ...]]:
    """The addresses of the exposed households that the directory knows."""
    found = exposed_households(visible, directory=directory, domains=DOMAINS, at=AT)
    return [each.addresses for each in found if each.known]


def strangers(*visible: str, directory: Directory = DIRECTORY) -> list[str]:
    """The exposed addresses of which the directory knows nothing."""
    found = exposed_households(visible, directory=directory, domains=DOMAINS, at=AT)
    return [address for each in found if not each.known for address in each.addresses]


def test_a_newsletter_in_bcc_exposes_nobody() -> None:
    """SCENARIOS 25: To holds only the office."""
    assert exposed_households(["office@school.example"], directory=DIRECTORY, domains=DOMAINS, at=AT) == ()


def test_both_parents_of_a_pupil_are_one_household() -> None:
    """SCENARIOS 26: separated or not, both have a right to the trip letter."""
    assert households("mother@gmail.com", "father@outlook.com") == [("mother@gmail.com", "father@outlook.com")]


def test_a_mother_ties_two_fathers_only_where_she_is() -> None:
    """Two fathers of two pupils know nothing of each other unless the mother of both is in the message."""
    assert len(households("father@outlook.com", "stepfather@sky.com")) == 2
    assert households("father@outlook.com", "stepfather@sky.com", "mother@gmail.com") == [
        ("father@outlook.com", "stepfather@sky.com", "mother@gmail.com")
    ]


def test_one_parent_under_two_addresses_and_spellings_is_one_household() -> None:
    """A copy to the work address shows nothing to anybody else."""
    assert households("Mother+x@Gmail.com", "mother@work.example", "mother@googlemail.com") == [
        ("Mother+x@Gmail.com", "mother@work.example")
    ]
    assert households("untied@gmail.com") == [("untied@gmail.com",)]


def test_a_match_day_list_in_cc_counts_every_household() -> None:
    """SCENARIOS 28 and 29: what the clause forbids; without the directory each consumer address counts."""
    people = [person(f"p{n}@gmail.com", Kind.PARENT, ties=(f"pupil {n}",)) for n in range(25)]
    visible = [each.address for each in people]
    assert len(households(*visible, directory=Directory.of(people=people))) == 25
    assert strangers(*visible, directory=NOBODY) == visible
    assert households(*visible, directory=NOBODY) == []


def test_a_committee_that_agreed_exposes_nobody_until_an_outsider_is_added() -> None:
    """SCENARIOS 31: the members agreed to be seen by one another and by nobody else."""
    assert households("father@outlook.com", "lark@gmail.com") == []
    assert len(households("father@outlook.com", "lark@gmail.com", "untied@gmail.com")) == 3
    assert households("lark@gmail.com") == []
    assert len(households("lark@gmail.com", "stranger@gmail.com")) == 1
    lapsed = Directory.of(people=PARENTS, groups=[Group(agreed=True, members=COMMITTEE.members, span=PAST)])
    assert len(households("father@outlook.com", "lark@gmail.com", directory=lapsed)) == 2


def test_an_agreement_holds_for_every_address_of_a_member() -> None:
    """The list names one address, the mail uses the other."""
    directory = Directory.of(people=PARENTS, groups=[Group(agreed=True, members=frozenset({"mother@gmail.com"}))])
    assert households("mother@work.example", directory=directory) == []


def test_a_bulk_provider_and_an_approved_outsider_are_no_households() -> None:
    """SCENARIOS 32: one mail for each recipient through an approved system."""
    assert (
        exposed_households(
            ["list@mail.bulk.example", "tutor@gmail.com"], directory=DIRECTORY, domains=DOMAINS, at=AT
        )
        == ()
    )


def test_addresses_pasted_in_the_text_are_counted_alike() -> None:
    """SCENARIOS 34: a list for the coach firm; the caller gives whatever addresses it found."""
    visible = [
        "coach@coachfirm.example",
        "mother@gmail.com",
        "lark@gmail.com",
        "untied@gmail.com",
        "new@gmail.com",
    ]
    assert len(households(*visible)) == 3
    assert strangers(*visible) == ["new@gmail.com"]


def test_staff_who_are_parents_do_not_count_at_work() -> None:
    """A colleague's school address exposes no family; the home address does."""
    assert households("t.okafor@school.example") == []
    assert households("okafor.home@gmail.com") == [("okafor.home@gmail.com",)]


def test_people_known_as_something_else_are_no_strangers() -> None:
    """Governors and colleagues at home are other rules' business."""
    assert strangers("governor@gmail.com", "anita.patel@gmail.com") == []
    assert households("governor@gmail.com", "anita.patel@gmail.com") == []


def test_former_parents_are_still_people() -> None:
    """Their address is as private as before, though the school has no household for it now."""
    assert households("gone@gmail.com") == []
    assert strangers("gone@gmail.com") == ["gone@gmail.com"]


def test_only_private_mail_can_be_a_strangers_household() -> None:
    """Two suppliers, a hospital and a school in To are everyday work."""
    assert strangers("sales@firm.example", "ward@nhs.net", "head@other.surrey.sch.uk") == []


@given(st.lists(st.one_of(st.text(max_size=30), st.sampled_from([each.address for each in PARENTS])), max_size=12))
def test_any_header_gives_each_address_at_most_one_household(visible: list[str]) -> None:
    """Header fields are hostile; the count can never be driven up by repeating or down by adding."""
    found = exposed_households(visible, directory=DIRECTORY, domains=DOMAINS, at=AT)
    counted = [address for household in found for address in household.addresses]
    assert len(counted) == len(set(counted))
    assert set(counted) <= set(visible)
    again = exposed_households(visible * 2, directory=DIRECTORY, domains=DOMAINS, at=AT)
    assert found == again


def test_thousands_of_visible_parents_are_counted_in_no_time() -> None:
    """A chain of families must not take time in proportion to its square."""
    people = [person(f"p{n}@gmail.com", Kind.PARENT, ties=(f"pupil {n}", f"pupil {n + 1}")) for n in range(5_000)]
    found = households(*(each.address for each in people), directory=Directory.of(people=people))
    assert [len(each) for each in found] == [5_000]


def recipients(*addresses: str, sender: str = "a.patel@school.example") -> list[PrivateAccount]:
    """The private accounts among the recipients of the teacher's mail."""
    return list(private_recipients(addresses, sender=sender, directory=DIRECTORY, domains=DOMAINS, at=AT))


def test_a_teacher_writes_to_her_own_declared_account() -> None:
    """SCENARIOS 43 and 44: the fact is the same; what is attached makes the difference."""
    assert recipients("AnitaPatel+lessons@gmail.com") == [
        PrivateAccount(
            address="AnitaPatel+lessons@gmail.com",
            where="recipient",
            mailbox="a.patel@school.example",
            own=True,
            declared=True,
            staff=True,
        )
    ]


def test_a_teacher_writes_to_a_colleague_at_home() -> None:
    """The colleague is a parent too, which the rule may want to let pass."""
    (account,) = recipients("okafor.home@gmail.com")
    assert account.mailbox == "t.okafor@school.example"
    assert account.declared
    assert account.staff
    assert account.parent
    assert not account.own


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("a.patel@outlook.com", True),
        ("apatel77@hotmail.co.uk", True),
        ("anita.patel@yahoo.co.uk", True),
        ("anitapatel@icloud.com", True),
        ("anita_k_patel@btinternet.com", True),
        ("arun.patel@gmail.com", False),
        ("patel@gmail.com", False),
        ("anita@gmail.com", False),
        ("a.patel@firm.example", False),
        ("a.patel@nhs.net", False),
        ("lark@gmail.com", False),
    ],
)
def test_an_undeclared_account_is_recognised_by_the_senders_name(address: str, own: bool) -> None:
    """Nobody declares everything; a parent with the same surname is somebody else."""
    found = recipients(address)
    assert own == bool(found)
    assert all(account.own and not account.declared for account in found)


def test_a_parent_with_the_teachers_name_is_a_parent() -> None:
    """The directory knows the address as a parent's, so it is not the sender's own."""
    namesake = person("anita.patel@sky.com", Kind.PARENT, ties=("pupil 7",))
    directory = Directory.of(people=[TEACHER, namesake])
    assert (
        private_recipients(
            ["anita.patel@sky.com"], sender=TEACHER.address, directory=directory, domains=DOMAINS, at=AT
        )
        == ()
    )


def test_without_a_directory_the_same_local_part_tells() -> None:
    """A school that has no directory yet still sees the plainest case; short names tell nothing."""
    found = private_recipients(
        ["A.Patel@gmail.com", "it@gmail.com"],
        sender="a.patel@school.example",
        directory=NOBODY,
        domains=DOMAINS,
        at=AT,
    )
    assert [(each.address, each.mailbox, each.own) for each in found] == [
        ("A.Patel@gmail.com", "a.patel@school.example", True)
    ]
    assert (
        private_recipients(["it@gmail.com"], sender="it@school.example", directory=NOBODY, domains=DOMAINS, at=AT)
        == ()
    )


def test_leavers_and_approved_addresses_are_no_private_accounts() -> None:
    """Who has left has no school account to use instead; what is approved is approved."""
    assert recipients("jan@gmail.com", "tutor@gmail.com", "mother@gmail.com") == []


def fields(name: str, *addresses: str, display: str = "") -> list[VisibleRecipient]:
    """Header fields as inspection gives them."""
    return [VisibleRecipient(field=name, address=address, display=display) for address in addresses]


def test_answers_that_would_go_to_a_private_account_are_seen() -> None:
    """CLAUSES 2.9 (b): From or Reply-To of the school's own mail at a consumer domain."""
    found = private_replies(
        from_=fields("From", "a.patel@school.example"),
        reply_to=fields(
            "Reply-To", "anita.patel@gmail.com", "unknown@gmail.com", "x@firm.example", "tutor@gmail.com"
        ),
        sender="a.patel@school.example",
        directory=DIRECTORY,
        domains=DOMAINS,
        at=AT,
    )
    assert [(each.address, each.where, each.own, each.declared) for each in found] == [
        ("anita.patel@gmail.com", "Reply-To", True, True),
        ("unknown@gmail.com", "Reply-To", False, False),
    ]
    (account,) = private_replies(
        from_=fields("From", "okafor.home@gmail.com"),
        reply_to=[],
        sender="a.patel@school.example",
        directory=DIRECTORY,
        domains=DOMAINS,
        at=AT,
    )
    assert (account.where, account.mailbox, account.own) == ("From", "t.okafor@school.example", False)


@pytest.mark.parametrize(
    ("address", "display", "likeness"),
    [
        (
            "mr.patel.maths@gmail.com",
            "Ms A. Patel",
            StaffLikeness(
                address="mr.patel.maths@gmail.com",
                display="Ms A. Patel",
                mailboxes=("a.patel@school.example",),
                declared=False,
            ),
        ),
        (
            "anita.patel@gmail.com",
            "",
            StaffLikeness(
                address="anita.patel@gmail.com",
                display="",
                mailboxes=("a.patel@school.example",),
                declared=True,
            ),
        ),
        ("x@gmail.com", "Jan Leaver", None),
        ("lark@gmail.com", "Anita Patel", None),
        ("tutor@gmail.com", "Anita Patel", None),
        ("a@firm.example", "Anita Patel", None),
        ("x@gmail.com", "Rosa Brook", None),
        ("a.patel@school.example", "Anita Patel", None),
    ],
)
def test_who_writes_like_a_member_of_staff_is_seen(
    address: str, display: str, likeness: StaffLikeness | None
) -> None:
    """SCENARIOS 46 (may be an impostor) and 47 (the teacher's own account); parents keep their names."""
    found = staff_outside(fields("From", address, display=display), directory=DIRECTORY, domains=DOMAINS, at=AT)
    assert found == ((likeness,) if likeness else ())


def test_a_household_says_whether_it_is_known() -> None:
    """The rule for schools without parents in the directory counts the others."""
    assert exposed_households(
        ["new@gmail.com", "lark@gmail.com"], directory=DIRECTORY, domains=DOMAINS, at=AT
    ) == (
        Household(addresses=("new@gmail.com",), known=False),
        Household(addresses=("lark@gmail.com",), known=True),
    )
