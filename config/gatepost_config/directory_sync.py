"""Owns filling the people directory's folder from LDAP: entries become rows, rows files, or nothing changes.

Only files that it wrote before are replaced, each at once by a rename; the rest of the folder (approvals,
exemptions, parents from the school's own system) stays as it is. Before anything is replaced, the folder as it
would be is read as the gateway would read it.
"""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import ldap
from ldap.dn import str2dn

from gatepost_config import durable
from gatepost_config.directory_columns import GROUPS, PEOPLE
from gatepost_config.directory_load import load_directory
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.ldap_reading import Entry
from gatepost_config.ldap_source import GroupSearch, LdapSource, PeopleSearch

MARK = "# Written by gatepost directory sync; changes made by hand are lost."
"""The first line of a file that may be replaced."""

_NEVER = (0, 0x7FFFFFFFFFFFFFFF)  # accountExpires of an account that does not
_FILETIME = datetime(1601, 1, 1, tzinfo=UTC)
_PEOPLE_COLUMNS = {column.name: column for column in PEOPLE.columns}
_IDENTIFYING = ("address", "aliases", "parent_addresses", "pupil")
_SEPARATORS = frozenset(";|,")


class Searching(Protocol):
    """What asks the server."""

    def search(self, base: str, wanted: str, attributes: Sequence[str]) -> list[Entry]:
        """Every entry below ``base`` that the filter finds."""
        ...


class SyncError(Exception):
    """Nothing was written, and why: what the folder or a file in it is like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One file as it should be: its name, columns and rows. ``left_out`` counts entries that gave no row."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0

    def text(self) -> str:
        """The file's content."""
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return f"{MARK}\n{output.getvalue()}"

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses of its rows."""
        place = self.columns.index("address") if "address" in self.columns else None
        return frozenset(row[place].casefold() for row in self.rows if place is not None and row[place])


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """How one file would change: rows that come and go, as text, and the addresses that it had and would have."""

    made: Made
    come: tuple[str, ...]
    gone: tuple[str, ...]
    old_rows: int
    old_addresses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would change in ``folder``. ``problems`` are rows that the gateway would leave out."""

    folder: Path
    changes: tuple[FileChange, ...]
    problems: tuple[Problem, ...]

    @property
    def differs(self) -> bool:
        """Whether anything would change."""
        return any(each.come or each.gone for each in self.changes)

    @property
    def lost(self) -> frozenset[str]:
        """The addresses that would no longer be in any of the files."""
        old = frozenset[str]().union(*(each.old_addresses for each in self.changes))
        return old - frozenset[str]().union(*(each.made.addresses for each in self.changes))

    def too_small(self, *, shrink: int) -> str:
        """Why the result is too small to be believed, in words; empty if it is not. ``shrink`` is per cent."""
        old = frozenset[str]().union(*(each.old_addresses for each in self.changes))
        if len(self.lost) * 100 > shrink * len(old):
            return f"{len(self.lost):,} of {len(old):,} addresses would go, more than {shrink} per cent"
        empty = [each.made.file for each in self.changes if each.old_rows and not each.made.rows]
        return f"nothing would be left in {', '.join(empty)}" if empty else ""


def make(source: LdapSource, reader: Searching) -> list[Made]:
    """The files, as the server's answers make them. Raises what ``reader`` raises."""
    people = [
        (search, reader.search(search.base, search.filter, _asked(search.columns))) for search in source.people
    ]
    addresses = {_dn(entry.dn): _address(entry, search) for search, entries in people for entry in entries}
    found = [_people(search, entries, addresses) for search, entries in people]
    groups = [
        (search, reader.search(search.base, search.filter, [search.address, search.name, *search.members]))
        for search in source.groups
    ]
    nested = {_dn(entry.dn): _members(entry, search) for search, entries in groups for entry in entries}
    found += [_groups(search, entries, nested) for search, entries in groups]
    return found


def plan(folder: Path, made: Sequence[Made]) -> Plan:
    """What these files would change in the folder. Raises SyncError, and ConfigError if the folder as it would be
    could not be used."""
    changes = tuple(_change(folder, each) for each in made)
    with tempfile.TemporaryDirectory(prefix="gatepost-sync-") as place:
        staged = Path(place)
        names = {each.file for each in made}
        for path in sorted(folder.glob("*.csv")):
            if path.name not in names:
                shutil.copyfile(path, staged / path.name)
        for each in made:
            (staged / each.file).write_text(each.text(), encoding="utf-8")
        try:
            problems = load_directory(staged).problems
        except ConfigError as error:
            raise ConfigError(*_moved(error.problems, folder)) from None
    return Plan(folder=folder, changes=changes, problems=_moved(problems, folder))


def _moved(problems: Sequence[Problem], folder: Path) -> tuple[Problem, ...]:
    """The problems as of files in ``folder``: nobody would look for them where they were tried."""
    return tuple(replace(each, path=folder / each.path.name) for each in problems)


def write(planned: Plan) -> None:
    """Put the files that changed in place: all are on the disk before the first is renamed. Raises OSError."""
    folder = planned.folder
    readers = folder.stat().st_gid  # the gateway reads the files as a member of the folder's group
    ready: list[tuple[Path, Path]] = []
    try:
        for each in planned.changes:
            path = folder / each.made.file
            if not each.come and not each.gone and path.exists():
                continue
            ready.append((durable.stage(path, each.made.text().encode(), mode=0o640, owner=(-1, readers)), path))
        for fresh, path in ready:
            fresh.replace(path)
        durable.sync(folder)
    finally:
        for fresh, _ in ready:
            fresh.unlink(missing_ok=True)


def _change(folder: Path, made: Made) -> FileChange:
    path = folder / made.file
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SyncError(f"{path} cannot be read: {error}") from None
    if text and not text.startswith(MARK):
        raise SyncError(f"{path} was not written by gatepost directory sync; move it away, or name another file")
    old = list(csv.reader(io.StringIO(text.partition("\n")[2]))) if text else []
    columns, rows = (tuple(old[0]), [tuple(row) for row in old[1:]]) if old else (made.columns, [])
    before = Made(file=made.file, columns=columns, rows=tuple(rows))
    # Compared by name of column, so that another order of columns is no change.
    one, other = ({_told(each.columns, row) for row in each.rows} for each in (before, made))
    return FileChange(
        made=made,
        come=tuple(sorted(other - one)),
        gone=tuple(sorted(one - other)),
        old_rows=len(rows),
        old_addresses=before.addresses,
    )


def _told(columns: Sequence[str], row: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(columns, row, strict=False) if value)


def _asked(columns: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(each for attributes in columns.values() for each in attributes))


def _dn(dn: str) -> str:
    """A DN in a form in which equal ones are equal (RFC 4514 allows spaces and any case)."""
    try:
        parts = str2dn(dn)
    except ldap.DECODING_ERROR:
        return dn.casefold()
    return ",".join("+".join(sorted(f"{name}={value}" for name, value, _ in each)) for each in parts).casefold()


def _address(entry: Entry, search: PeopleSearch) -> str:
    return next(iter(_values(entry, "address", search.columns.get("address", ()), {})), "")


def _people(search: PeopleSearch, entries: Sequence[Entry], addresses: Mapping[str, str]) -> Made:
    columns = tuple(column.name for column in PEOPLE.columns if column.name in search.columns)
    rows = set()
    for entry in entries:
        cells = {column: _cell(entry, column, search.columns[column], addresses) for column in columns}
        if "login" in cells and not cells.get("address"):
            cells["login"] = ""  # it leads to no mailbox; a pupil without one still connects the parents
        if any(cells.get(column) for column in _IDENTIFYING):
            rows.add(tuple(cells.values()))
    return Made(file=search.file, columns=columns, rows=tuple(sorted(rows)), left_out=len(entries) - len(rows))


def _cell(entry: Entry, column: str, attributes: Sequence[str], addresses: Mapping[str, str]) -> str:
    values = list(dict.fromkeys(_values(entry, column, attributes, addresses)))
    if not _PEOPLE_COLUMNS[column].many:
        return values[0] if values else ""
    # A value that holds what separates values would become two; no address, login or group's name should.
    return ";".join(value for value in values if not _SEPARATORS.intersection(value))


def _values(entry: Entry, column: str, attributes: Sequence[str], addresses: Mapping[str, str]) -> Iterator[str]:
    for attribute in attributes:
        for text in entry.texts(attribute):
            value = _value(attribute.lower(), text, column, addresses)
            if value and not value.startswith("#"):  # which would make the row a note
                yield value


def _value(attribute: str, text: str, column: str, addresses: Mapping[str, str]) -> str:
    """A value as the column wants it; empty if it says nothing there."""
    if attribute == "proxyaddresses":  # smtp:a@b, SMTP:a@b for the main one, and other systems' addresses
        kind, _, address = text.partition(":")
        return address if kind.lower() == "smtp" else ""
    if column in ("from", "until"):
        return _day(attribute, text)
    if column in ("supervisor", "delegates") and "@" not in text:
        return addresses.get(_dn(text), "")
    if column == "groups" and "=" in text:
        return _common_name(text)
    return text


def _common_name(dn: str) -> str:
    try:
        return next((value for part in str2dn(dn)[:1] for _, value, _ in part), "")
    except ldap.DECODING_ERROR:
        return ""


def _day(attribute: str, text: str) -> str:
    """The day of a date in any of the ways in which directories write it; empty for never."""
    try:
        if attribute == "accountexpires":  # 100 nanoseconds since 1601, to the midnight behind the last day
            ticks = int(text)
            if ticks in _NEVER:
                return ""
            return (_FILETIME + timedelta(microseconds=ticks // 10, seconds=-1)).date().isoformat()
        if attribute == "shadowexpire":  # days since 1970; -1 for never
            days = int(text)
            return (date(1970, 1, 1) + timedelta(days=days)).isoformat() if days >= 0 else ""
        if len(text) >= 14 and text[:14].isdigit():  # RFC 4517 section 3.3.13
            return f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    except (ValueError, OverflowError):
        return text  # the directory's own check says what is wrong with it
    return text


def _members(entry: Entry, search: GroupSearch) -> frozenset[str]:
    return frozenset(_dn(text) for attribute in search.members for text in entry.texts(attribute))


def _groups(search: GroupSearch, entries: Sequence[Entry], nested: Mapping[str, frozenset[str]]) -> Made:
    columns = tuple(column.name for column in GROUPS.columns if column.name in ("address", "name", "size"))
    rows = set()
    for entry in entries:
        address = next(iter(entry.texts(search.address)), "")
        if address and not address.startswith("#"):
            name = next(iter(entry.texts(search.name)), "")
            rows.add((address, name, str(_size(_dn(entry.dn), nested))))
    return Made(file=search.file, columns=columns, rows=tuple(sorted(rows)), left_out=len(entries) - len(rows))


def _size(group: str, nested: Mapping[str, frozenset[str]]) -> int:
    """How many members a group has, those of groups in it included, each once. A group in itself ends nothing."""
    seen, waiting, people = {group}, [group], set()
    while waiting:
        for member in nested[waiting.pop()]:
            if member not in nested:
                people.add(member)
            elif member not in seen:
                seen.add(member)
                waiting.append(member)
    return len(people)
