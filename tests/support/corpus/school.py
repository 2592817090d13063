"""Owns the people of the school in which the scenarios play."""

from __future__ import annotations

from gatepost_config.directory import ALWAYS, Approval, Directory, Group, Kind, Person

PARENTS = [f"parent{number}@gmail.com" for number in range(40)]
COMMITTEE = [f"officer{number}@sky.com" for number in range(6)]


def _person(local: str, name: str, kind: Kind = Kind.STAFF, **others: object) -> Person:
    facts = {"logins": (local,), "name": name, "roles": ((kind, ALWAYS),), **others}
    return Person(address=f"{local}@school.example", **facts)  # type: ignore[arg-type]  # as each caller names them


def _parent(address: str, pupil: str) -> Person:
    return Person(address=address, roles=((Kind.PARENT, ALWAYS),), ties=frozenset({f"pupil {pupil}"}))


SCHOOL = Directory.of(
    people=[
        _person(
            "teacher", "Anita Patel", personal=("anita.patel@gmail.com",), supervisors=("hod@school.example",)
        ),
        _person("hod", "Hilda Odd"),
        _person("colleague", "Mary Bell"),
        _person("head", "Rosa Head", groups=frozenset({"head"})),
        _person("office", "The office", groups=frozenset({"office"})),
        _person("hr", "Joan Reed", groups=frozenset({"hr"})),
        _person("it", "Ivor Tan", groups=frozenset({"it-support"})),
        _person("governor", "Gail Over", Kind.GOVERNOR),
        _person("pupil", "Sam Lark", Kind.PUPIL),
        _person("pupil2", "Ada Wren", Kind.PUPIL),
        _person("junior", "Ben Dove", Kind.PUPIL, section="junior"),
        _parent("mother@gmail.com", "1"),
        _parent("father@outlook.com", "1"),
        *(_parent(each, each) for each in (*PARENTS, *COMMITTEE)),
    ],
    groups=[
        Group(address="all.staff@school.example", size=180),
        Group(address="all.parents@school.example", size=900),
    ],
    approvals=[
        Approval(who="examboard.example", purpose="exam-board"),
        Approval(who="*.bulkmailer.example", purpose="bulk-mail"),
        Approval(who="trust.nhs.uk", purpose="health"),
    ],
)
