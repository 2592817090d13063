"""What the directory answers: who somebody is, on which day, and of which household."""

from __future__ import annotations

from datetime import date

import pytest

from gatepost_config.directory import (
    ALWAYS,
    Approval,
    Directory,
    Exemption,
    Group,
    Kind,
    Person,
    Span,
)

TODAY = date(2026, 11, 22)
PAST = Span(ends=date(2026, 8, 31))


def parent(address: str, *ties: str, aliases: tuple[str, ...] = ()) -> Person:
    """A parent with those ties."""
    return Person(address=address, roles=((Kind.PARENT, ALWAYS),), ties=frozenset(ties), aliases=aliases)


def staff(address: str, **rest: object) -> Person:
    """A member of staff."""
    return Person(address=address, roles=((Kind.STAFF, ALWAYS),), **rest)  # type: ignore[arg-type]


def test_a_person_is_found_under_any_spelling() -> None:
    """Headers and exports never agree on capitals, tags and Gmail's dots."""
    ann = parent("Ann.Lee@GoogleMail.com", aliases=("ann@lee.example",))
    directory = Directory.of(people=[ann])
    for spelling in ("Ann.Lee@GoogleMail.com", "annlee@gmail.com", "ANN.LEE+school@gmail.com", "Ann@Lee.example"):
        assert directory.person(spelling) is ann
    assert directory.person("annlee@lee.example") is None
    assert directory.person("") is None


def test_an_alias_never_takes_somebodys_main_address() -> None:
    """Or one slip in an export would hand the head's mail identity to somebody else."""
    thief = staff("thief@school.example", aliases=("head@school.example",))
    head = staff("head@school.example")
    assert Directory.of(people=[thief, head]).person("head@school.example") is head


@pytest.mark.parametrize(
    ("day", "known"),
    [
        (date(2026, 8, 31), False),
        (date(2026, 9, 1), True),
        (date(2027, 7, 31), True),
        (date(2027, 8, 1), False),
    ],
)
def test_both_ends_of_a_span_count(day: date, known: bool) -> None:
    """“Until 31 July” includes that day; an off-by-one would lock a leaver out on the last day."""
    span = Span(starts=date(2026, 9, 1), ends=date(2027, 7, 31))
    person = Person(
        address="t@school.example",
        logins=("t",),
        personal=("t@gmail.com",),
        roles=((Kind.STAFF, span),),
    )
    directory = Directory.of(people=[person])
    assert known == (directory.person("t@school.example", at=day) is person)
    assert known == (directory.by_login("t", at=day) is person)
    assert known == (directory.owners_of_personal("t@gmail.com", at=day) == (person,))
    assert directory.person("t@school.example") is person


def test_a_teacher_who_left_is_still_a_parent() -> None:
    """Each thing that a person is has days of its own."""
    person = Person(address="p@home.example", roles=((Kind.STAFF, PAST), (Kind.PARENT, ALWAYS)))
    assert {Kind.STAFF, Kind.PARENT} == person.kinds
    assert {Kind.PARENT} == person.kinds_at(TODAY)
    assert person.is_parent(TODAY)
    assert not person.is_staff(TODAY)
    assert person.is_staff(date(2026, 8, 31))


def test_a_login_is_a_login_in_any_case_or_the_address_itself() -> None:
    """Microsoft 365 logs people in by address; others by a short name."""
    ann = staff("Ann.Lee@school.example", logins=("alee",))
    bob = staff("bob@school.example", logins=("ann.lee@school.example",))
    directory = Directory.of(people=[ann])
    assert directory.by_login("ALee") is ann
    assert directory.by_login("ann.lee@SCHOOL.example") is ann
    assert directory.by_login("ann.lee+x@school.example") is None
    assert directory.by_login("") is None
    assert Directory.of(people=[ann, bob]).by_login("ann.lee@school.example") is bob


def test_parents_of_one_pupil_are_one_household_wherever_they_live() -> None:
    """Separated parents are two addresses and one household: both may be written to in one mail."""
    directory = Directory.of(
        people=[
            parent("mother@a.example", "pupil 1"),
            parent("father@b.example", "pupil 1"),
            parent("other@c.example", "pupil 2"),
        ]
    )
    assert directory.household("mother@a.example") == directory.household("Father@B.example") == "pupil 1"
    assert directory.household("other@c.example") == "pupil 2"
    assert directory.household("nobody@d.example") == ""


def test_households_are_connected_step_by_step() -> None:
    """A mother of two pupils with two fathers connects all three, in whatever order they were named."""
    people = [
        parent("x@a.example", "pupil 1"),
        parent("y@b.example", "pupil 3"),
        parent("m@c.example", "pupil 3", "pupil 2"),
        parent("z@d.example", "pupil 2", "pupil 1"),
        parent("far@e.example", "pupil 9"),
    ]
    for order in (people, people[::-1]):
        directory = Directory.of(people=order)
        named = {directory.household(person.address) for person in people[:4]}
        assert named == {"pupil 1"}
        assert directory.household("far@e.example") == "pupil 9"


def test_a_shared_private_address_has_several_owners() -> None:
    """Couples on the staff share a home address; mail to it is a private account for either."""
    ann, bob = (staff(f"{name}@school.example", personal=("Our.Home@gmail.com",)) for name in ("ann", "bob"))
    directory = Directory.of(people=[ann, bob])
    assert directory.owners_of_personal("ourhome@gmail.com") == (ann, bob)
    assert directory.owners_of_personal("ann@school.example") == ()


def test_the_size_of_a_list_counts_lists_inside_it() -> None:
    """Aliases expand after the gateway: one address can be four hundred people."""
    groups = [
        Group(address="All@school.example", members=frozenset({"staff@school.example", "a@x.example"})),
        Group(address="staff@school.example", size=180),
        Group(address="maths@school.example", members=frozenset({"a@x.example", "b@x.example"})),
        Group(address="stale@school.example", size=1, members=frozenset({"a@x.example", "b@x.example"})),
        Group(address="loop@school.example", members=frozenset({"loop@school.example", "maths@school.example"})),
    ]
    directory = Directory.of(groups=groups)
    assert directory.group_size("all@SCHOOL.example") == 181
    assert directory.group_size("maths@school.example") == 2
    assert directory.group_size("stale@school.example") == 2
    assert directory.group_size("loop@school.example") == 2
    assert directory.group_size("a@x.example") == 0
    found = directory.group("ALL@school.example")
    assert found is not None
    assert found.address == "All@school.example"


def test_only_agreed_groups_of_today_are_agreed() -> None:
    """Last year's committee did not agree to be seen this year."""
    now = Group(name="now", agreed=True)
    groups = [now, Group(name="then", agreed=True, span=PAST), Group(address="list@school.example")]
    assert Directory.of(groups=groups).agreed_groups(TODAY) == (now,)


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("Tutor+x@gmail.com", "tutor@gmail.com"),
        ("any@coaches.example", "coaches.example"),
        ("any@mail.coaches.example", None),
        ("coaches.example", "coaches.example"),
        ("any@bulk.example", "*.bulk.example"),
        ("any@eu.mail.bulk.example", "*.bulk.example"),
        ("any@notbulk.example", None),
        ("any@gmail.com", None),
        ("ended@gmail.com", None),
        ("a@" + "a." * 100_000 + "example", None),
    ],
)
def test_an_outside_address_is_approved_by_itself_or_its_domain(address: str, who: str | None) -> None:
    """The subdomain of a host with many customers is not approved unless the school says so."""
    directory = Directory.of(
        approvals=[
            Approval(who="tutor@gmail.com"),
            Approval(who="coaches.example"),
            Approval(who="*.bulk.example"),
            Approval(who="ended@gmail.com", span=PAST),
        ]
    )
    approval = directory.approved(address, TODAY)
    assert who == (approval.who if approval else None)


@pytest.mark.parametrize(
    ("rule", "address", "who"),
    [
        ("big", "it@school.example", "it@school.example"),
        ("big", "it.helpdesk@school.example", "it@school.example"),
        ("big", "gov@firm.example", "kind:governor"),
        ("big", "exams@school.example", "group:exams"),
        ("big", "x@coaches.example", "@coaches.example"),
        ("big", "x@mail.coaches.example", None),
        ("big", "ex-governor@firm.example", None),
        ("small", "it@school.example", None),
        ("ended", "it@school.example", None),
    ],
)
def test_an_exemption_is_for_one_rule_and_one_kind_of_people(rule: str, address: str, who: str | None) -> None:
    """An exemption that reaches further than was approved is a hole in the policy."""
    now = Span(ends=date(2026, 11, 22))
    directory = Directory.of(
        people=[
            staff("it@school.example", aliases=("it.helpdesk@school.example",)),
            Person(address="gov@firm.example", roles=((Kind.GOVERNOR, ALWAYS),)),
            Person(address="ex-governor@firm.example", roles=((Kind.GOVERNOR, PAST),)),
            staff("exams@school.example", groups=frozenset({"exams"})),
        ],
        exemptions=[
            Exemption(rule="big", who=who, span=now, approved_by="Head", reason="r")
            for who in ("it@school.example", "kind:governor", "group:exams", "@coaches.example")
        ]
        + [Exemption(rule="ended", who="it@school.example", span=PAST, approved_by="Head", reason="r")],
    )
    found = directory.exempt(rule, address, TODAY)
    assert who == (found.who if found else None)
    assert directory.exempt(rule, address, date(2026, 11, 23)) is None


def test_staff_are_found_by_the_name_a_reader_sees() -> None:
    """An outsider who calls himself like a teacher is what pupils fall for (SCENARIOS 46)."""
    anita = staff("a.patel@school.example", name="Anita Patel")
    left = Person(address="b@school.example", name="Bina Patel", roles=((Kind.STAFF, PAST),))
    mum = Person(address="c@home.example", name="Anita Patel", roles=((Kind.PARENT, ALWAYS),))
    directory = Directory.of(people=[anita, left, mum])
    assert directory.staff_named("Ms A. Patel", at=TODAY) == (anita,)
    assert directory.staff_named("Patel, Anita (Maths)", at=TODAY) == (anita,)
    assert directory.staff_named("Bina Patel", at=TODAY) == ()
    assert directory.staff_named("Patel", at=TODAY) == ()
    assert directory.staff_named("", at=TODAY) == ()


def test_only_a_directory_with_parents_knows_households() -> None:
    """Rules must tell “no parents among these” from “nobody told us who the parents are”."""
    assert not Directory.of(people=[staff("a@school.example")]).has_parents
    assert Directory.of(people=[parent("a@home.example")]).has_parents
