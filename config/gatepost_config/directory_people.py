"""Owns putting people together from rows: one person may stand in several rows and files, one row may name a pupil
and all the pupil's parents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.directory import Kind, Person, Span
from gatepost_config.directory_rows import Row, RowError, suggest
from gatepost_config.domains import Domains

_DOMAINS = Domains(school=())


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A person while rows are being read. Lists keep the order of the rows; the first name, year … stays."""

    address: str
    source: str
    name: str = ""
    department: str = ""
    year: str = ""
    section: str = ""
    roles: list[tuple[Kind, Span]] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    personal: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    pupils: list[str] = field(default_factory=list)
    ties: list[str] = field(default_factory=list)
    supervisors: list[str] = field(default_factory=list)
    delegates: list[str] = field(default_factory=list)

    def person(self, families: dict[str, set[str]]) -> Person:
        ties = set(self.ties)
        for tie in self.ties:
            ties.update(families.get(tie, ()))
        return Person(
            address=self.address,
            name=self.name,
            roles=tuple(dict.fromkeys(self.roles)),
            aliases=_once(self.aliases),
            logins=_once(self.logins),
            personal=_once(self.personal),
            groups=frozenset(self.groups),
            department=self.department,
            year=self.year,
            section=self.section,
            pupils=frozenset(self.pupils),
            ties=frozenset(ties),
            supervisors=_once(self.supervisors),
            delegates=_once(self.delegates),
            source=self.source,
        )


class PeopleReader:
    """Takes rows one by one, and gives the people at the end. Rows of one address become one person."""

    def __init__(self) -> None:
        self._drafts: dict[str, _Draft] = {}
        self._logins: dict[str, tuple[str, str]] = {}
        # What a pupil's row ties together: the ids that the pupil has, and the household.
        self._families: dict[str, set[str]] = {}

    def add(self, row: Row, *, kind: Kind | None) -> bool:
        """Take a row; ``kind`` is what its file says that everybody in it is. Whether it had an address to look
        up. Raises RowError, and has then taken nothing of the row."""
        kinds = _kinds(row, kind)
        span = row.span()
        mailboxes = [*row.address("address"), *row.addresses("aliases")]
        parents = row.addresses("parent_addresses")
        personal = _personal(row, mailboxes)
        supervisors, delegates = row.addresses("supervisor"), row.addresses("delegates")
        logins = row.names("login")
        pupils = row.ids("pupil")
        households = [f"household {each}" for each in row.ids("household")]
        key = normalise(mailboxes[0]) if mailboxes else ""
        self._check_logins(row, logins, key)

        own = [f"pupil {each}" for each in pupils]
        ties = own + households
        if Kind.PUPIL in kinds:
            for tie in own:
                self._families.setdefault(tie, set()).update(ties)
        for parent in parents:
            draft = self._draft(parent, row)
            draft.roles.append((Kind.PARENT, span))
            draft.pupils += pupils
            draft.ties += ties
        if not mailboxes:
            return bool(parents)
        draft = self._draft(mailboxes[0], row)
        draft.roles += [(each, span) for each in kinds]
        draft.aliases += mailboxes[1:]
        draft.logins += logins
        draft.personal += personal
        draft.groups += row.words("groups")
        draft.pupils += pupils
        draft.ties += ties
        draft.supervisors += supervisors
        draft.delegates += delegates
        draft.name = draft.name or _name(row)
        draft.department = draft.department or row.text("department")
        draft.year = draft.year or row.text("year")
        draft.section = draft.section or row.text("section").lower()
        for login in logins:
            self._logins.setdefault(login, (key, row.source))
        return True

    def people(self) -> Iterable[Person]:
        """Everybody, in the order in which they were first named."""
        return (draft.person(self._families) for draft in self._drafts.values())

    def _draft(self, address: str, row: Row) -> _Draft:
        key = normalise(address)
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = _Draft(address=address, source=row.source)
        return draft

    def _check_logins(self, row: Row, logins: tuple[str, ...], key: str) -> None:
        if logins and not key:
            raise RowError(row.index("login"), "a login without an address leads to no mailbox")
        for login in logins:
            owner, source = self._logins.get(login, (key, ""))
            if owner != key:
                raise RowError(
                    row.index("login"),
                    f"the login “{login}” already belongs to {owner} ({source})",
                    "a login must lead to one person; the first row keeps it",
                )


def _once(values: list[str]) -> tuple[str, ...]:
    """The values, each once, in order."""
    return tuple(dict.fromkeys(values)) if len(values) > 1 else tuple(values)


def _kinds(row: Row, kind: Kind | None) -> list[Kind]:
    kinds = [kind] if kind else []
    for word in row.words("kinds"):
        if word not in list(Kind):
            raise RowError(
                row.index("kinds"),
                f"“{word}” is no kind of person",
                suggest(word, list(Kind)) or f"kinds are {', '.join(Kind)}",
            )
        kinds.append(Kind(word))
    if not kinds:
        raise RowError(row.index("kinds"), "the row does not say what the person is", f"one of {', '.join(Kind)}")
    return list(dict.fromkeys(kinds))


def _personal(row: Row, mailboxes: list[str]) -> list[str]:
    personal = row.addresses("personal_addresses")
    mine = {normalise(each) for each in mailboxes}
    domain = domain_of(mailboxes[0]) if personal and mailboxes else ""
    for address in personal:
        if domain_of(address) == domain and normalise(address) not in mine and not _DOMAINS.is_consumer(domain):
            raise RowError(
                row.index("personal_addresses"),
                f"“{address}” is at the domain of the person's own mailbox, so it is not a private address",
                "another address of the same mailbox goes into aliases",
            )
    return [each for each in personal if normalise(each) not in mine]


def _name(row: Row) -> str:
    return row.text("name") or f"{row.text('first_name')} {row.text('last_name')}".strip()
