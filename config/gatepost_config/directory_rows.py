"""Owns what a row of the directory's files says: which cell fills which column, and the values in the cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from functools import lru_cache

from gatepost_config import addresses
from gatepost_config.directory import ALWAYS, Kind, Span
from gatepost_config.directory_columns import KNOWN_HEADS, Shape, plain
from gatepost_config.directory_tables import Table
from gatepost_config.errors import ConfigError, Problem

# An unknown head this like a known one is a typing error even among the many heads of an export.
_LIKENESS = 0.85
_LIST = re.compile(r"[;|,\s]+")
_WORDS = re.compile(r"[;|,\r\n]+")
# What people write where there is no address.
_NOTHING = frozenset({"-", "--", "n/a", "na", "none", "nil", "no email", "unknown", "not known"})
_DAY_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y")
_MIDNIGHT = re.compile(r"[T ]00:00(:00)?$")


class RowError(Exception):
    """A fault in one row, at cell ``index`` (from 0): the row is left out and the fault reported."""

    def __init__(self, index: int, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.index = index
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which cells of a table fill which column. ``numbers`` has the numbering of pupil ids by cell.

    ``layout`` is the system whose heads were recognised, else ``own``. ``ignored`` are heads without a column;
    ``problems`` those that look like mistakes.
    """

    columns: dict[str, list[int]] = field(default_factory=dict)
    numbers: dict[int, str] = field(default_factory=dict)
    layout: str = "own"
    ignored: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan_columns(table: Table, *, shape: Shape, kind: Kind | None) -> Plan:
    """How to read ``table``. Raises ConfigError when a column that the shape needs is missing."""
    own = {plain(column.name): column.name for column in shape.columns}
    columns: dict[str, list[int]] = {}
    numbers: dict[int, str] = {}
    layouts: set[str] = set()
    unknown: list[tuple[int, str]] = []
    ignored: list[str] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, text in enumerate(table.head):
        head = plain(text)
        if not head:
            continue
        known = KNOWN_HEADS.get(head)
        if head in seen:
            problems.append(
                table.problem(table.head_line, index, f"the column “{text}” is here twice", "rename one")
            )
            continue
        seen.add(head)
        target = own.get(head)
        if target is None and known is not None:
            layouts.add(known.layout)
            target = known.target(kind)
            target = target if target in own.values() else ""
            numbers[index] = known.numbers
        if target is None:
            unknown.append((index, text))
        elif target:
            columns.setdefault(target, []).append(index)
        else:
            ignored.append(text)
    layout = next(iter(sorted(layouts - {""})), "own")
    for index, text in unknown:
        remedy = _suggest(text, own, likeness=0.7 if layout == "own" else _LIKENESS)
        if layout == "own" or remedy:
            message = f"there is no column “{text}”"
            problems.append(table.problem(table.head_line, index, message, remedy or _all_columns(shape)))
        else:
            ignored.append(text)
    missing = [column.name for column in shape.columns if column.needed and column.name not in columns]
    if missing:
        raise ConfigError(
            *problems,
            table.problem(
                table.head_line, 0, f"the column {', '.join(missing)} is missing", f"a {_all_columns(shape)}"
            ),
        )
    return Plan(columns=columns, numbers=numbers, layout=layout, ignored=tuple(ignored), problems=tuple(problems))


def suggest(word: str, known: list[str], *, likeness: float = 0.6) -> str:
    """“did you mean …?” for a mistyped word; empty when nothing is like it."""
    close = get_close_matches(word, known, n=1, cutoff=likeness)
    return f"did you mean “{close[0]}”?" if close else ""


def _suggest(text: str, own: dict[str, str], *, likeness: float) -> str:
    names = {head: each.head for head, each in KNOWN_HEADS.items() if each.column} | own
    close = get_close_matches(plain(text), list(names), n=1, cutoff=likeness)
    return f"did you mean “{names[close[0]]}”?" if close else ""


def _all_columns(shape: Shape) -> str:
    return f"{shape.name} file has the columns {', '.join(column.name for column in shape.columns)}"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, asked for by column. All of it raises RowError for a value that is no good."""

    plan: Plan
    table: Table
    line: int
    cells: list[str]

    @property
    def source(self) -> str:
        """``file:line``, as people and findings name the row."""
        return f"{self.table.path.name}:{self.line}"

    def check_width(self) -> None:
        """Raise RowError for more values than heads: a separator inside one has moved all that follow it."""
        width = len(self.table.head)
        if len(self.cells) > width and any(cell.strip() for cell in self.cells[width:]):
            raise RowError(
                width,
                f"the row has {len(self.cells)} cells, the head {width}",
                f"put a value that holds a {self.table.separator_name} in quotation marks",
            )

    def index(self, column: str) -> int:
        """The cell to blame for ``column``: the first that says anything, else the first of the row."""
        for index, _ in self.filled(column):
            return index
        return self.plan.columns.get(column, [0])[0]

    def filled(self, column: str) -> Sequence[tuple[int, str]]:
        """The cells of ``column`` that say something, with their index."""
        indices = self.plan.columns.get(column)
        if indices is None:
            return ()
        cells = self.cells
        return [(index, value) for index in indices if index < len(cells) and (value := cells[index].strip())]

    def text(self, column: str) -> str:
        """The first cell of ``column`` that says anything, with its white space made single spaces."""
        for _, value in self.filled(column):
            return " ".join(value.split())
        return ""

    def needed(self, column: str) -> str:
        """As ``text``, but the row is no good without it. Raises RowError."""
        value = self.text(column)
        if not value:
            raise RowError(self.index(column), f"“{column}” is empty")
        return value

    def words(self, column: str) -> tuple[str, ...]:
        """The words of a list of words, in lower case, each once."""
        return self._list(column, _WORDS, lambda word: " ".join(word.lower().split()))

    def names(self, column: str) -> tuple[str, ...]:
        """The items of a list in which no item holds a space (logins), in lower case, each once."""
        return self._list(column, _LIST, str.lower)

    def _list(self, column: str, between: re.Pattern[str], form: Callable[[str], str]) -> tuple[str, ...]:
        filled = self.filled(column)
        if not filled:
            return ()
        values = (form(item) for _, cell in filled for item in between.split(cell))
        return tuple(dict.fromkeys(value for value in values if value))

    def ids(self, column: str) -> tuple[str, ...]:
        """Ids with their numbering in front, so that ids of two systems never meet: ``admission 1234``."""
        return tuple(
            dict.fromkeys(
                f"{numbering} {_unpadded(item)}"
                if (numbering := self.plan.numbers.get(index))
                else _unpadded(item)
                for index, cell in self.filled(column)
                for item in _LIST.split(cell)
                if item
            )
        )

    def address(self, column: str) -> list[str]:
        """The valid address in each cell of ``column``; a cell holds at most one."""
        return [self._checked(index, cell) for index, cell in self.filled(column) if cell.lower() not in _NOTHING]

    def sole_address(self, column: str) -> str:
        """The one address of ``column``; the row is no good without it."""
        return self._checked(self.index(column), self.needed(column))

    def addresses(self, column: str) -> list[str]:
        """All addresses in the cells of ``column``, each valid; cells that say “none” in some way hold none."""
        return [
            self._checked(index, item)
            for index, cell in self.filled(column)
            if cell.lower() not in _NOTHING
            for item in _LIST.split(cell)
            if item
        ]

    def _checked(self, index: int, address: str) -> str:
        try:
            addresses.check(address)
        except addresses.InvalidAddressError as error:
            raise RowError(index, f"“{address}” is not a mail address: {error}") from None
        return address

    def span(self) -> Span:
        """The days from ``from`` until ``until``, both included. Raises RowError."""
        starts, ends = self._day("from"), self._day("until")
        if starts is None and ends is None:
            return ALWAYS
        if starts is not None and ends is not None and ends < starts:
            raise RowError(self.index("until"), f"it ends ({ends}) before it begins ({starts})")
        return _span(starts, ends)

    def _day(self, column: str) -> date | None:
        text = self.text(column)
        if not text:
            return None
        day = _parse_day(text)
        if day is None:
            raise RowError(
                self.index(column), f"“{text}” is not a date", "write 2026-09-01 or 01/09/2026 (day first)"
            )
        return day


def _unpadded(number: str) -> str:
    """An id in lower case and without leading zeros: spreadsheets take them off in one file and not in another."""
    return number.lower().lstrip("0") or "0"


@lru_cache(maxsize=4096)
def _parse_day(text: str) -> date | None:
    text = _MIDNIGHT.sub("", text)
    for form in _DAY_FORMATS:
        try:
            # A day of the calendar; it has no time zone.
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    return None


@lru_cache(maxsize=4096)
def _span(starts: date | None, ends: date | None) -> Span:
    """Thousands of people share a few school years; one object for each saves memory."""
    return Span(starts=starts, ends=ends)
