"""Owns putting people together from rows: one person may stand in several rows and files, one row may name a pupil
and all the pupil's parents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gatepost_config.addresses import domain_of, normalise
from gatepost_config.directory import Kind, Person
from gatepost_config.directory_rows import Row, RowError, suggest
from gatepost_config.domains import Domains

_DOMAINS = Domains(school=())
# Nobody has more children at one school. Beyond it an address is a guardianship agency, or a placeholder that the
# office enters where there is none: it must not make hundreds of families one household.
_CHILDREN = 12


class PeopleReader:
    """Takes rows one by one, and gives the people at the end. Rows of one address become one person."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._logins: dict[str, tuple[str, str]] = {}
        # What a pupil's row ties together: the ids that the pupil has, and the household.
        self._families: dict[str, set[str]] = {}

    def add(self, row: Row, *, kind: Kind | None) -> bool:
        """Take a row; ``kind`` is what its file says that everybody in it is. Whether it had an address to look
        up. Raises RowError, and has then taken nothing of the row."""
        span = row.span()
        pupils = row.ids("pupil")
        own = [f"pupil {each}" for each in pupils]
        ties = frozenset([*own, *(f"household {each}" for each in row.ids("household"))])
        mailboxes = [*row.address("address"), *row.addresses("aliases")]
        logins = row.names("login")
        person = Person(
            address=mailboxes[0] if mailboxes else "",
            name=_name(row),
            roles=tuple((each, span) for each in _kinds(row, kind)),
            aliases=tuple(mailboxes[1:]),
            logins=logins,
            personal=_personal(row, mailboxes),
            groups=frozenset(row.words("groups")),
            department=row.text("department"),
            year=row.text("year"),
            section=row.text("section").lower(),
            pupils=frozenset(pupils),
            ties=ties,
            supervisors=tuple(row.addresses("supervisor")),
            delegates=tuple(row.addresses("delegates")),
            source=row.source,
        )
        parents = [
            Person(address=each, roles=((Kind.PARENT, span),), pupils=person.pupils, ties=ties, source=row.source)
            for each in row.addresses("parent_addresses")
        ]
        key = normalise(person.address)
        self._check_logins(row, logins, key)

        if any(each is Kind.PUPIL for each, _ in person.roles):
            for tie in own:
                self._families.setdefault(tie, set()).update(ties)
        for login in logins:
            self._logins.setdefault(login, (key, row.source))
        for parent in parents:
            self._keep(normalise(parent.address), parent)
        if key:
            self._keep(key, person)
        return bool(key or parents)

    def people(self) -> Iterable[Person]:
        """Everybody, in the order in which they were first named."""
        for person in self._people.values():
            ties = person.ties.union(*(self._families.get(tie, ()) for tie in person.ties))
            if len(person.pupils) > _CHILDREN:
                ties = frozenset()
            yield person if ties == person.ties else replace(person, ties=ties)

    def _keep(self, key: str, person: Person) -> None:
        old = self._people.get(key)
        self._people[key] = person if old is None else _merged(old, person)

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


def _merged(old: Person, new: Person) -> Person:
    """One person from two rows: lists add up, and what the first row says stays."""
    return Person(
        address=old.address,
        name=old.name or new.name,
        roles=tuple(dict.fromkeys(old.roles + new.roles)),
        aliases=tuple(dict.fromkeys(old.aliases + new.aliases)),
        logins=tuple(dict.fromkeys(old.logins + new.logins)),
        personal=tuple(dict.fromkeys(old.personal + new.personal)),
        groups=old.groups | new.groups,
        department=old.department or new.department,
        year=old.year or new.year,
        section=old.section or new.section,
        pupils=old.pupils | new.pupils,
        ties=old.ties | new.ties,
        supervisors=tuple(dict.fromkeys(old.supervisors + new.supervisors)),
        delegates=tuple(dict.fromkeys(old.delegates + new.delegates)),
        source=old.source,
    )


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


def _personal(row: Row, mailboxes: list[str]) -> tuple[str, ...]:
    personal = row.addresses("personal_addresses")
    if not personal:
        return ()
    mine = {normalise(each) for each in mailboxes}
    domain = domain_of(mailboxes[0]) if mailboxes else ""
    for address in personal:
        if domain_of(address) == domain and normalise(address) not in mine and not _DOMAINS.is_consumer(domain):
            raise RowError(
                row.index("personal_addresses"),
                f"“{address}” is at the domain of the person's own mailbox, so it is not a private address",
                "another address of the same mailbox goes into aliases",
            )
    return tuple(each for each in personal if normalise(each) not in mine)


def _name(row: Row) -> str:
    return row.text("name") or f"{row.text('first_name')} {row.text('last_name')}".strip()
