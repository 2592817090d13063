"""Owns loading the directory: a folder of CSV files becomes one frozen ``Directory``, or an error says why not.

What happens with bad rows is decided here, once:

- A row with a fault is left out and reported with file, line and column (``Directory.problems``). The rest counts:
  one typing error in September must not switch off the rules for a whole school.
- A file that cannot be understood is an error, and so is its folder: unreadable, not CSV, a needed column missing,
  or more bad rows than good ones. Then nothing is loaded, and the old directory stays in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gatepost_config import addresses
from gatepost_config.addresses import ascii_domain, normalise
from gatepost_config.directory import Approval, Directory, Exemption, FileReport, Group, Kind
from gatepost_config.directory_columns import APPROVED, GROUPS, PEOPLE, SHAPES, Shape
from gatepost_config.directory_people import PeopleReader
from gatepost_config.directory_rows import Plan, Row, RowError, plan_columns, suggest
from gatepost_config.directory_tables import Table, read_table
from gatepost_config.domains import Domains
from gatepost_config.errors import ConfigError, Problem

_RULE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PARTIES = ["sender", "recipient"]
_YES_OR_NO = {"yes": True, "y": True, "true": True, "1": True, "no": False, "n": False, "false": False, "0": False}
_OTHER_TABLES = (".xlsx", ".xls", ".xlsm", ".ods", ".tsv")
_DOMAINS = Domains(school=())
_Value = TypeVar("_Value")


def load_directory(folder: Path) -> Directory:
    """The directory in ``folder``: all its ``*.csv`` files, in the order of their names.

    Raises ConfigError, with every fault that was found, if the folder or a file in it cannot be used at all.
    """
    reader = _Reader()
    for path in _files(folder):
        reader.read(path)
    return reader.directory()


def _files(folder: Path) -> list[Path]:
    """The tables in the folder, those that nobody can read included, so that they are reported."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".csv", *_OTHER_TABLES})
    except OSError as error:
        raise ConfigError(Problem(folder, 0, 0, f"the directory cannot be read: {error.strerror}")) from None
    tables = [path for path in paths if path.suffix.lower() == ".csv"]
    if not any(SHAPES.get(_first_word(path), (None,))[0] is PEOPLE for path in tables):
        raise ConfigError(
            Problem(
                folder,
                0,
                0,
                "there are no people in this folder",
                "put people.csv there, or staff.csv, pupils.csv and parents.csv",
            )
        )
    return paths


def _first_word(path: Path) -> str:
    """What kind of file it is: ``parents`` of ``Parents-arbor 2026.csv``."""
    return re.split(r"[^a-z]", path.stem.lower(), maxsplit=1)[0]


class _Reader:
    """Reads file after file, collecting rows, problems and faults."""

    def __init__(self) -> None:
        self._people = PeopleReader()
        self._groups: list[Group] = []
        self._approvals: list[Approval] = []
        self._exemptions: list[Exemption] = []
        self._files: list[FileReport] = []
        self._problems: list[Problem] = []
        self._faults: list[Problem] = []

    def read(self, path: Path) -> None:
        """Take one file; what is wrong with it is kept until ``directory``."""
        shape, kind = SHAPES.get(_first_word(path), (None, None))
        if path.suffix.lower() in _OTHER_TABLES:
            self._problems.append(Problem(path, 0, 0, "is not read: it is no CSV file", "save it as “CSV UTF-8”"))
            return
        if shape is None:
            remedy = suggest(_first_word(path), list(SHAPES))
            self._problems.append(
                Problem(path, 0, 0, "is not read: its name does not say what it holds", remedy or _all_names())
            )
            return
        try:
            table = read_table(path)
            self._read_rows(table, shape, kind)
        except ConfigError as error:
            self._faults += error.problems

    def directory(self) -> Directory:
        """All of it. Raises ConfigError if a file was no good as a whole."""
        if self._faults:
            raise ConfigError(*self._faults, *self._problems)
        return Directory.of(
            people=self._people.people(),
            groups=self._groups,
            approvals=self._approvals,
            exemptions=self._exemptions,
            problems=self._problems,
            files=self._files,
        )

    def _read_rows(self, table: Table, shape: Shape, kind: Kind | None) -> None:
        plan = plan_columns(table, shape=shape, kind=kind)
        if shape is PEOPLE:
            _check_people(table, plan, kind)
        self._problems += plan.problems
        take = self._taker(shape, kind)
        problems = []
        unaddressed = 0
        for line, cells in table.rows:
            row = Row(plan, table, line, cells)
            try:
                row.check_width()
                if not take(row):
                    unaddressed += 1
            except RowError as error:
                problems.append(table.problem(line, error.index, str(error), error.remedy))
        self._problems += problems
        if len(problems) * 2 > len(table.rows):
            message = f"{len(problems)} of {len(table.rows)} rows are bad, so the file is not believed"
            raise ConfigError(Problem(table.path, 0, 0, message, "see the other problems of this file"))
        self._files.append(
            FileReport(
                path=table.path,
                layout=plan.layout,
                encoding=table.encoding,
                separator=table.separator_name,
                rows=len(table.rows),
                loaded=len(table.rows) - len(problems) - unaddressed,
                left_out=len(problems),
                unaddressed=unaddressed,
                ignored=plan.ignored,
            )
        )

    def _taker(self, shape: Shape, kind: Kind | None) -> Callable[[Row], bool]:
        """What takes a row of that shape, and says whether there was anything to look up in it."""
        if shape is PEOPLE:
            return lambda row: self._people.add(row, kind=kind)
        if shape is GROUPS:
            return lambda row: _keep(self._groups, _group(row))
        if shape is APPROVED:
            return lambda row: _keep(self._approvals, _approval(row))
        return lambda row: _keep(self._exemptions, _exemption(row))


def _check_people(table: Table, plan: Plan, kind: Kind | None) -> None:
    """No one column is needed in every file of people, but without these nothing could be looked up."""
    if not plan.columns.keys() & {"address", "aliases", "parent_addresses"}:
        message, remedy = "there is no column with addresses", "name one “address”"
    elif kind is None and "kinds" not in plan.columns:
        message = "nothing says what these people are"
        remedy = "add a column “kinds”, or name the file staff.csv, pupils.csv, parents.csv, …"
    else:
        return
    raise ConfigError(*plan.problems, table.problem(table.head_line, 0, message, remedy))


def _keep(values: list[_Value], value: _Value) -> bool:
    values.append(value)
    return True


def _all_names() -> str:
    return f"names begin with {', '.join(SHAPES)}"


def _group(row: Row) -> Group:
    listed = row.address("address")
    members = frozenset(map(normalise, row.addresses("members")))
    agreed = _YES_OR_NO.get(row.text("agreed").lower() or "no")
    if agreed is None:
        raise RowError(row.index("agreed"), f"“{row.text('agreed')}” is neither yes nor no")
    if not listed and not (agreed and members):
        raise RowError(row.index("address"), "a list needs its address, an agreed group at least its members")
    size = row.text("size") or "0"
    if not (size.isascii() and size.isdigit() and len(size) < 8):
        raise RowError(row.index("size"), f"“{size}” is not a number of people")
    return Group(
        address=listed[0] if listed else "",
        name=row.text("name"),
        size=int(size),
        members=members,
        agreed=agreed,
        span=row.span(),
        source=row.source,
    )


def _approval(row: Row) -> Approval:
    who = row.needed("who")
    return Approval(
        who=normalise(row.sole_address("who")) if "@" in who else _domain(row, who),
        purpose=row.text("purpose"),
        approved_by=row.text("approved_by"),
        reason=row.text("reason"),
        span=row.span(),
        source=row.source,
    )


def _exemption(row: Row) -> Exemption:
    rule = row.needed("rule")
    if not _RULE.fullmatch(rule):
        raise RowError(
            row.index("rule"),
            f"“{rule}” is no rule id",
            "ids are lower-case words with hyphens; there is no exemption from all rules",
        )
    row.needed("until")
    party = row.text("party").lower() or "sender"
    if party not in _PARTIES:
        remedy = suggest(party, _PARTIES) or "exempt as the sender, or as the recipient"
        raise RowError(row.index("party"), f"“{row.text('party')}” is neither sender nor recipient", remedy)
    return Exemption(
        rule=rule,
        party=party,
        who=_exempted(row),
        span=row.span(),
        approved_by=row.needed("approved_by"),
        reason=row.needed("reason"),
        source=row.source,
    )


def _exempted(row: Row) -> str:
    who = row.needed("who")
    word, colon, name = (part.strip().lower() for part in who.partition(":"))
    if colon and word == "group" and name:
        return f"group:{name}"
    if colon and word == "kind":
        if name not in list(Kind):
            remedy = suggest(name, list(Kind)) or f"kinds are {', '.join(Kind)}"
            raise RowError(row.index("who"), f"“{name}” is no kind of person", remedy)
        return f"kind:{name}"
    if who.startswith("@"):
        return f"@{_domain(row, who[1:])}"
    return normalise(row.sole_address("who"))


def _domain(row: Row, text: str) -> str:
    """A domain or ``*.domain`` that is fit to be trusted as a whole."""
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        addresses.check(f"postmaster@{name}")
    except addresses.InvalidAddressError:
        raise RowError(row.index("who"), f"“{text}” is neither an address nor a domain") from None
    domain = ascii_domain(name)
    if _DOMAINS.is_consumer(domain):
        raise RowError(
            row.index("who"),
            f"everybody can have an address at {domain}, so it cannot be approved as a whole",
            "name the addresses one by one",
        )
    return star + domain
