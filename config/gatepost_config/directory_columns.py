"""Owns the columns of the directory's files: our own, and under which heads the schools' systems export them.

The heads of SIMS, Arbor, Bromcom and iSAMS are starting data from their public documents and templates; every
school's export can be set up differently, and a head can always be renamed to our own column.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from gatepost_config.directory import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of one of our files. ``many`` cells hold several values. ``needed``: the file is refused without
    it. ``about`` is what the README says of it."""

    name: str
    about: str
    many: bool = False
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of file: its columns, and what its rows are called."""

    name: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column of that name, which must exist."""
        return next(column for column in self.columns if column.name == name)


_FROM = Column(name="from", about="First day on which the row holds; empty: always did.")
_UNTIL = Column(name="until", about="Last day on which the row holds; empty: no end.")
_APPROVER = Column(name="approved_by", about="Who said so.")
_REASON = Column(name="reason", about="Why.")

PEOPLE = Shape(
    name="people",
    columns=(
        Column(name="address", about="The person's mail address: at the school, or a parent's own."),
        Column(name="name", about="Full name, as people write it."),
        Column(name="first_name", about="First name, where there is no full name."),
        Column(name="last_name", about="Last name, where there is no full name."),
        Column(
            name="kinds",
            many=True,
            about="What they are: staff, pupil, parent, governor, volunteer, supplier, or role (a mailbox of an "
            "office). Not needed in a file that is named after a kind.",
        ),
        Column(name="login", many=True, about="Login names at the mail server, if not the address itself."),
        Column(name="aliases", many=True, about="Other addresses of the same mailbox, or of the same parent."),
        Column(name="groups", many=True, about="Words of the school's own for rules and exemptions: hr, exams."),
        Column(name="department", about="Department."),
        Column(name="pupil", many=True, about="Pupil ids: a pupil's own; of a parent, those of the children."),
        Column(name="household", many=True, about="Household ids, where the school keeps such."),
        Column(name="year", about="Year group."),
        Column(name="section", about="Part of the school: senior, lower, junior."),
        Column(
            name="personal_addresses",
            many=True,
            about="Private addresses that the person declared. Mail to them counts as mail to a private account.",
        ),
        Column(
            name="parent_addresses",
            many=True,
            about="In a pupil's row: addresses of the parents. Each becomes a parent of that pupil.",
        ),
        _FROM,
        _UNTIL,
        Column(name="supervisor", many=True, about="Addresses of those who answer for the person."),
        Column(name="delegates", many=True, about="Addresses of those who may act for the person."),
    ),
)
GROUPS = Shape(
    name="groups",
    columns=(
        Column(
            name="address", needed=True, about="The list's address; may be empty in the row of an agreed group."
        ),
        Column(name="name", about="What people call it."),
        Column(name="size", about="How many people get mail to it. Aliases expand after gatepost has looked."),
        Column(name="members", many=True, about="Their addresses; may name other lists."),
        Column(
            name="agreed",
            about="yes: the members agreed to see one another's addresses (a committee of parents). Default no.",
        ),
        _FROM,
        _UNTIL,
    ),
)
APPROVED = Shape(
    name="approved",
    columns=(
        Column(
            name="who",
            needed=True,
            about="An address, a domain, or *.domain for the domain and all names below it.",
        ),
        Column(name="purpose", about="What for: bulk-mail, exam-board, transport."),
        _APPROVER,
        _REASON,
        _FROM,
        _UNTIL,
    ),
)
EXEMPTIONS = Shape(
    name="exemptions",
    columns=(
        Column(name="who", needed=True, about="An address, @domain, kind:governor or group:exams."),
        Column(name="rule", needed=True, about="The id of the rule; one row for each rule."),
        Column(
            name="party",
            about="sender (the usual): mail that they send, if a login or a trusted relay proves it; or "
            "recipient: mail to them.",
        ),
        _FROM,
        Column(name="until", needed=True, about="Last day of the exemption. There is none without an end."),
        Column(name="approved_by", needed=True, about="Who gave it."),
        Column(name="reason", needed=True, about="Why it was given."),
    ),
)

# What a file is, by the first word of its name: parents.csv, parents-arbor.csv.
SHAPES: Mapping[str, tuple[Shape, Kind | None]] = {
    "people": (PEOPLE, None),
    "staff": (PEOPLE, Kind.STAFF),
    "pupils": (PEOPLE, Kind.PUPIL),
    "parents": (PEOPLE, Kind.PARENT),
    "governors": (PEOPLE, Kind.GOVERNOR),
    "volunteers": (PEOPLE, Kind.VOLUNTEER),
    "suppliers": (PEOPLE, Kind.SUPPLIER),
    "roles": (PEOPLE, Kind.ROLE),
    "groups": (GROUPS, None),
    "approved": (APPROVED, None),
    "exemptions": (EXEMPTIONS, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How an export calls a column of ours. ``layout`` is the system, empty for heads that many use.

    ``column`` is empty for what gatepost has no use for. ``parents`` is the column in a file of parents, where
    the same head means something else. ``numbers`` names the numbering of pupil ids: two systems may give one
    number to two pupils, so ids of different numberings never meet.
    """

    head: str
    column: str
    layout: str = ""
    parents: str | None = None
    numbers: str = ""

    def target(self, kind: Kind | None) -> str:
        """The column that this head fills in a file of ``kind``."""
        return self.column if self.parents is None or kind is not Kind.PARENT else self.parents


def _heads(layout: str, column: str, heads: str, *, parents: str | None = None, numbers: str = "") -> list[Head]:
    return [
        Head(head=head.strip(), column=column, layout=layout, parents=parents, numbers=numbers)
        for head in heads.split("|")
    ]


# "|" separates heads. An export of parents often names the pupil too, so some heads mean nothing there.
HEADS: tuple[Head, ...] = (
    *_heads("", "address", "Email | Email Address | Mail | Primary Email | Main Email"),
    *_heads("", "address", "School Email | Work Email", parents="aliases"),
    *_heads("", "personal_addresses", "Home Email | Personal Email | Private Email", parents="address"),
    *_heads(
        "", "parent_addresses", "Parent Email | Parents Emails | Guardian Email | Mother Email | Father Email"
    ),
    *_heads("", "parent_addresses", "Parent 1 Email | Parent 2 Email | Contact 1 Email | Contact 2 Email"),
    *_heads("", "parent_addresses", "Contact Email | Contact Email Address", parents="address"),
    *_heads("", "name", "Full Name | Display Name | Contact Name | Parent Name | Guardian Name"),
    *_heads("", "first_name", "Forename | Given Name | Contact Forename | Contact First Name"),
    *_heads("", "first_name", "Preferred Forename | Preferred First Name | Chosen Name", parents=""),
    *_heads("", "first_name", "Legal Forename | Legal First Name", parents=""),
    *_heads("", "last_name", "Surname | Family Name | Contact Surname | Contact Last Name"),
    *_heads("", "last_name", "Preferred Surname | Preferred Last Name", parents=""),
    *_heads("", "last_name", "Legal Surname | Legal Last Name", parents=""),
    *_heads("", "login", "Username | Login Name | Network Login | sAMAccountName | User Principal Name"),
    *_heads("", "year", "Year Group | NC Year | Year Taught In | Yr Taught In | National Curriculum Year"),
    *_heads("", "section", "School Section | Phase"),
    *_heads("", "department", "Departments | Subject | Faculty"),
    *_heads("", "kinds", "Kind"),
    *_heads("", "groups", "Group"),
    *_heads("", "from", "Start Date | Date of Admission | Doa | Admission Date | Employment Start Date"),
    *_heads("", "until", "End Date | Leaving Date | Date of Leaving | Dol | Employment End Date"),
    *_heads("", "supervisor", "Line Manager Email | Manager Email"),
    *_heads("", "household", "Household ID | Family ID | Family Code"),
    *_heads("", "pupil", "Pupil ID", numbers=""),
    *_heads("", "pupil", "Admission Number | Adm No", numbers="admission"),
    *_heads("", "", "Role | Job Title | Post | Type"),
    *_heads(
        "", "", "Mobile | Telephone | Phone | Home Telephone | Address Line 1 | Postcode | Title | Gender | Sex"
    ),
    *_heads("", "", "Reg | Reg Group | Registration Form | Form | Tutor Group | House | Enrolment Status"),
    *_heads(
        "", "", "UPN | ULN | UCI | DOB | Date of Birth | FSM | Pupil Premium | SEN Status | Ethnicity | Religion"
    ),
    *_heads("", "", "Parental Responsibility | Contact Priority | Priority | Lives with Pupil | Relationship"),
    *_heads("SIMS", "pupil", "Adno", numbers="admission"),
    *_heads("SIMS", "", "In LEA Care | Staff Code"),
    *_heads("Arbor", "pupil", "Arbor Student ID", numbers="arbor"),
    *_heads("Arbor", "parent_addresses", "Primary Guardian Email | Primary Guardians Emails"),
    *_heads("Arbor", "", "Arbor Staff ID | Arbor Guardian ID | Pupil Premium Recipients"),
    *_heads("Bromcom", "pupil", "StudentID", numbers="bromcom"),
    *_heads("Bromcom", "", "StaffID | ContactID | TutorGroupName"),
    *_heads("iSAMS", "pupil", "School ID", numbers="isams school"),
    *_heads("iSAMS", "pupil", "iSAMS Id", numbers="isams"),
    *_heads("iSAMS", "", "Academic House | Boarding House | Exam Candidate Number | Exam UCI Number"),
)


def plain(head: str) -> str:
    """A head without case, accents, spaces and punctuation: ``E-mail Address`` and ``email_address`` are one."""
    text = unicodedata.normalize("NFKD", head).casefold()
    return re.sub(r"[^0-9a-z]", "", text)


KNOWN_HEADS: Mapping[str, Head] = {plain(each.head): each for each in reversed(HEADS)}
