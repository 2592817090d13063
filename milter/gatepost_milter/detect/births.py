"""Owns the search for dates of birth: dates that make somebody two to nineteen years old (IDENTIFIERS 11).

Mail is full of dates. They count as dates of birth when a word or a column's heading says so, or when a list has
names beside at least five of them and hardly any other date; terms, examinations, fixtures and years of service
are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice

from gatepost_milter.detect.identifiers import (
    EXAMINED,
    MOST,
    REACH,
    Kind,
    Match,
    digest,
    heading,
    level,
    mask,
)
from gatepost_milter.detect.pages import Page, pattern

YOUNGEST, OLDEST = 2, 19
"""Ages in years, today, of the people whose dates of birth a school must keep to itself."""

LIST = 5
"""Different dates beside names that make a list without a heading."""

_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_DATE = pattern(
    r"(?i)\b(?:\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})|(?:19|20)\d{2}-\d{2}-\d{2}"
    r"|\d{1,2}(?:st|nd|rd|th)?[ -](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
    r"[ -](?:19|20)\d{2})\b"
)
_PIECES = re.compile(rb"\d+|[a-z]{3,}")
_BIRTH = re.compile(
    rb"(?<![a-z])(?:d\.?o\.?b\.?|dates? ?of ?births?|birth ?(?:dates?|days?)|born(?: on)?)(?![a-z])"
)
_OTHER = re.compile(
    rb"(?<![a-z])(?:terms?|exams?|examinations?|fixtures?|match(?:es)?|start(?:ed)?(?: date)?|joined|appointed"
    rb"|service|employed|employment|published|updated|version|review(?:ed)?|minutes|meetings?|due|issued?|invoices?"
    rb"|purchased?|ofsted|inspected|inspection|expir\w{1,4}|leaver|admission|admitted|doa|war|battle|built|founded"
    rb"|released|signed|treaty|elected|election|act)(?![a-z])"
)
_NAME_BESIDE = re.compile(
    rb"[A-Z][a-z'-]{1,30},? {1,2}[A-Z][a-z'-]{1,30}|[A-Z][a-z'-]{1,30}[,\t;|]\s?[A-Z][a-z'-]{1,30}"
)
_WEEKDAY = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? ?\Z")
_TIME = re.compile(rb",?[ T]{1,3}(?:at )?\d{1,2}[:.]\d{2}")
_SERIAL = re.compile(rb"[34]\d{4}(?:\.0)?\Z")
_EPOCH = date(1899, 12, 30)  # day nought of a spreadsheet's calendar
_LINE = 4096
_RUN = 400


def births(page: Page, *, key: bytes, today: date) -> Match | None:
    """The dates of birth on a page, or nothing. Raises DetectionError never: no set of patterns is needed."""
    if not any(digit in page.raw for digit in (b"0", b"1", b"2")):
        return None
    found: dict[str, int] = {}
    listed: dict[str, int] = {}
    other = 0
    spoken_until = denied_until = -1
    for start, end, born in _dates(page):
        if not _is_young(born, today):
            other += 1
            continue
        denied = start <= denied_until or _is_other(page, start, end)
        if denied:
            denied_until = end + _RUN
        value = born.isoformat()
        if start <= spoken_until or _is_said(page, start):
            spoken_until = end + (_LINE if page.rows else _RUN)
            found.setdefault(value, start)
        elif not denied and _has_name_beside(page, start, end):
            listed.setdefault(value, start)
        else:
            other += 1
        if len(found) >= MOST or len(listed) >= MOST:
            break
    near = bool(found)
    if page.rows and len(found) < MOST:
        for start, born in _serials(page):
            if _is_young(born, today):
                near = True
                found.setdefault(born.isoformat(), start)
    if len(listed) >= LIST and len(listed) >= 4 * other:
        found.update((value, start) for value, start in listed.items() if value not in found)
    if not found:
        return None
    first = min(found, key=lambda value: found[value])
    return Match(
        kind=Kind.BIRTH,
        where=page.where,
        line=page.line(found[first]),
        count=len(found),
        level=level(len(found)),
        shown=mask(Kind.BIRTH, first),
        near=near,
        digests=frozenset(digest(Kind.BIRTH, value, key=key) for value in found),
    )


def _dates(page: Page) -> Iterator[tuple[int, int, date]]:
    for match in islice(_DATE.finditer(page.raw), EXAMINED):
        start, end = match.span()
        born = _date(page.lowered[start:end])
        if born is not None:
            yield start, end, born


def _date(text: bytes) -> date | None:
    """The day in British order; a year of two digits is one that has been."""
    first, second, *rest = _PIECES.findall(text)
    last = rest[-1]  # between day and month may stand "rd"
    if len(first) == 4:
        first, last = last, first
    month = second if second.isdigit() else next(each for each in (second, *rest) if each[:3] in _MONTHS)
    year = int(last)
    if year < 100:
        year += 2000 if year < 70 else 1900
    try:
        return date(year, int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1, int(first))
    except ValueError:
        return None


def _is_young(born: date, today: date) -> bool:
    return timedelta(days=365 * YOUNGEST) <= today - born <= timedelta(days=366 * (OLDEST + 1))


def _is_said(page: Page, start: int) -> bool:
    """Whether words before the date, or its column's heading, say that it is a date of birth."""
    before = page.lowered[max(0, start - REACH) : start]
    said = None
    for said in _BIRTH.finditer(before):  # noqa: B007 - the last one is wanted
        pass
    if said is not None and not _OTHER.search(before, said.end()):
        return True
    head = heading(page, start)
    return bool(head) and _BIRTH.search(head) is not None


def _is_other(page: Page, start: int, end: int) -> bool:
    """Whether the date's line, or the one above, says that it is the date of something else."""
    lowered = page.lowered
    begin = max(lowered.rfind(b"\n", max(0, start - REACH), start) + 1, start - REACH, 0)
    above = max(lowered.rfind(b"\n", max(0, begin - REACH), max(begin - 1, 0)) + 1, begin - REACH, 0)
    stop = lowered.find(b"\n", end, end + REACH)
    return _OTHER.search(lowered, above, stop if stop >= 0 else end + REACH) is not None


def _has_name_beside(page: Page, start: int, end: int) -> bool:
    """Whether a name starts the line: prose has dates beside names too.

    A date with a day of the week, a time or an address beside it says when somebody wrote.
    """
    raw = page.raw
    begin = max(raw.rfind(b"\n", max(0, start - REACH), start) + 1, start - REACH, 0)
    before = raw[begin:start]
    if b"@" in before or _WEEKDAY.search(before) or _TIME.match(raw, end):
        return False
    return _NAME_BESIDE.match(before.lstrip(b' -*>\t"')) is not None


def _serials(page: Page) -> Iterator[tuple[int, date]]:
    """Days that a sheet holds as numbers, in columns whose heading says that they are dates of birth."""
    if not _BIRTH.search(page.lowered):
        return
    column = -1
    offset = 0
    for line in page.raw.split(b"\n"):
        cells = line.split(b"\t")
        if column >= 0 and column < len(cells) and _SERIAL.match(cells[column]):
            yield offset, _EPOCH + timedelta(days=int(cells[column][:5]))
        elif len(cells) > 1 and _BIRTH.search(line.lower()):
            column = next((at for at, cell in enumerate(cells) if _BIRTH.search(cell.lower())), -1)
        offset += len(line) + 1
