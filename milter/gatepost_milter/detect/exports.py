"""Owns the recognition of exports from a school's management information system, by file name, root element and
column headings (IDENTIFIERS 13 and 14).

Headings are counted as a table only where rows follow: a policy that quotes them, or a lesson about them, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from gatepost_milter.detect.identifiers import EXAMINED, MOST
from gatepost_milter.detect.pages import Page, Sieve


class Form(StrEnum):
    """What kind of export it is."""

    TRANSFER = "transfer-file"
    """A statutory file between schools (CTF, ATF, ASL): it goes by School to School, never by mail."""
    REPORT = "report"
    """A report or its definition, written by the information system."""
    EXAMINATION = "examination-file"
    """Entries or results between a centre and an awarding body."""
    TABLE = "pupil-table"
    """Rows about pupils under the headings of an information system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export that was recognised.

    ``rows`` is how many people it holds, as far as can be told (0: unknown, at most MOST). ``program`` names the
    system if its headings are its own. ``heads`` and ``sensitive`` are headings in our spelling, never the mail's
    text. ``line`` is where the headings stand, 0 for a whole file.
    """

    form: Form
    where: str
    line: int = 0
    rows: int = 0
    program: str = ""
    heads: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()


def _spellings(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split("·"))


_IDENTITY = _spellings(
    "upn · former upn · uln · uci · adno · adm no · admission no · admission number · admissionnumber · surname"
    " · legal surname · legalsurname · legal last name · preferred surname · last name · forename · legal forename"
    " · legalforename · legal first name · first name · chosen name · preferred forename · pupil name"
    " · student name · pupil · student · name · full name"
    " · dob · d.o.b. · date of birth · birth date · birthdate · student id"
    " · studentid · arbor student id · school id · isams id · exam number · candidate number"
    " · exam candidate number · exam uci number · unique pupil number · unique learner number · nhs number"
)
_PLAIN = _spellings(
    "gender · sex · reg · reg group · registration form · form · tutor group · tutorgroup · year · year group"
    " · nc year · ncyearactual · yr taught in · house · academic house · boarding house · enrolment status · doa"
    " · date of admission · class · attendance"
)
_SENSITIVE = _spellings(
    "ethnicity · ethnic group · ethnic code · first language · home language · eal · religion · nationality"
    " · country of birth · service child · traveller · fsm · fsm eligible · fsm6 · ever 6 · free school meals"
    " · pupil premium · pupil premium recipients · pp · ppi · pp+ · eypp · bursary · uifsm · lac · cla · in care"
    " · in lea care · looked after · plac · previously looked after · pep · cp · cpp · child protection plan · cin"
    " · child in need · early help · sgo · uasc · sen · send · sen status · sen provision · sen need · ehcp"
    " · annual review · iep · medical · medical condition · medical conditions · care plan · ihcp · epipen · aai"
    " · camhs · gp · doctor · medication · allergies · suspension · suspensions · exclusions"
    " · parental responsibility · contact priority · lives with pupil"
    " · home email · primary email · parent email · mobile · home telephone"
    " · address · home address · postcode"
)
_PROGRAMS = (
    ("SIMS", _spellings("adno · legal surname · legal forename · reg · yr taught in · in lea care · sen status")),
    ("Arbor", _spellings("arbor student id · legal first name · legal last name · pupil premium recipients")),
    ("Bromcom", _spellings("studentid · admissionnumber · legalforename · legalsurname · tutorgroup")),
    ("iSAMS", _spellings("isams id · academic house · boarding house · exam candidate number · exam uci number")),
)
_HEADS = _IDENTITY | _PLAIN | _SENSITIVE

FEWEST = 4
"""Headings of the vocabulary that a table needs, one of them of identity and one sensitive (IDENTIFIERS 13)."""

MOST_TABLES = 50
"""Tables of one page that are told; more of them change nothing."""

_HEADLINE = 4096  # octets of a line that are looked at for headings
_TOKENS = re.compile(rb"[^\s]+")


def _alternatives(words: frozenset[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_ANY = f"(?:{_alternatives(_HEADS)})"
_CELL = rf"(?:^|[\t|;,])[\"' *]*{_ANY}\b"
_SIEVE = Sieve(
    {
        "cells": rf"(?im)(?:{_CELL}[^\n]*){{2}}{_CELL}",
        "spaced": rf"(?im)^[ ]*(?:{_ANY}[ ]+){{3}}{_ANY}\b",
        "root": r"(?i)<(?:CTfile|ATfile|ASLfile|SuperStarReport|CTfpupilData)\b",
    }
)

_FILE_NAMES = (
    (Form.TRANSFER, re.compile(r"[0-9]{3}[0-9L]{4}_(?:CTF|ATF|ASL|CML)_[0-9LXM]{7}_[0-9]{3}\.xml", re.IGNORECASE)),
    (Form.TRANSFER, re.compile(r"[0-9]{7}_(?:SC[1-9]|SWF|EYC|PRU)[0-9A-Z]{0,3}_\w{1,20}\.xml", re.IGNORECASE)),
    (Form.REPORT, re.compile(r"[^/\\]{1,200}\.(?:rptdef|superstar)", re.IGNORECASE)),
    (Form.EXAMINATION, re.compile(r"[ER][0-9A-Z]{2}[0-9]{5}\.X[0-9]{2}", re.IGNORECASE)),
)
# Systems and people put "Copy of" before a name and " (1)" behind it.
_COPIED = re.compile(r"\A(?:copy of )+| ?\(\d{1,2}\)(?=\.\w{3}\Z)", re.IGNORECASE)


def file_name(name: str, *, where: str = "") -> Export | None:
    """The export that a file's name promises: ``8012345_CTF_8019999_001.xml`` (IDENTIFIERS 12 and 14).

    Call it for every name that some mail program could use.
    """
    shape = _COPIED.sub("", name.strip()[:300])
    for form, names in _FILE_NAMES:
        if names.fullmatch(shape):
            return Export(form=form, where=where or name)
    return None


def find(page: Page) -> tuple[Export, ...]:
    """The exports on a page: a body with a pasted table, csv, XML, or a sheet written out.

    Raises DetectionError if the page could not be searched.
    """
    if b"\n" not in page.raw and b"<" not in page.raw:
        return ()  # there are no rows, and no elements
    present = set(_SIEVE.which(page.raw))
    if not present:
        return ()
    found: list[Export] = []
    if "root" in present:
        found += _roots(page)
    tables = {
        table.line: table for name in ("cells", "spaced") if name in present for table in _tables(page, name)
    }
    return (*found, *(tables[line] for line in sorted(tables)))


def _roots(page: Page) -> Iterator[Export]:
    """The root element starts the file, after a declaration; in a manual that mentions it, more stands before."""
    match = _SIEVE.first("root", page.raw)
    before = page.lowered[: match.start()]
    if len(before) > 4 * _HEADLINE or not (before.strip() == b"" or b"<?xml" in before or b"<!--" in before):
        return
    report = b"superstar" in match.group().lower()
    people = page.lowered.count(b"<upn>")
    yield Export(
        form=Form.REPORT if report else Form.TRANSFER,
        where=page.where,
        line=page.line(match.start()),
        rows=min(people, MOST),
        program="SIMS" if report else "",
    )


def _tables(page: Page, name: str) -> Iterator[Export]:
    """The tables on the lines that one of the patterns finds."""
    raw = page.raw
    left, reached = MOST_TABLES, 0
    for match in islice(_SIEVE.each(name, raw), EXAMINED):
        start = match.start() + (raw[match.start() : match.start() + 1] == b"\n")
        if start < reached:
            continue
        begin = max(raw.rfind(b"\n", max(0, start - _HEADLINE), start) + 1, start - _HEADLINE)
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        table = _table(page, begin, end)
        if table is None:
            reached = end
            continue
        yield table
        reached = _past_rows(raw, end, table.rows)
        left -= 1
        if not left:
            return


def _table(page: Page, begin: int, end: int) -> Export | None:
    """The table whose headings are the line between two offsets, if it is one and has rows."""
    line = page.lowered[begin : min(end, begin + _HEADLINE)].decode("utf-8", "replace").strip("\r \t")
    cells, delimiter = _cells(line)
    heads = tuple(dict.fromkeys(cell for cell in cells if cell in _HEADS))
    if not delimiter:
        heads = _spaced_heads(line)
    sensitive = tuple(head for head in heads if head in _SENSITIVE)
    program = next((name for name, own in _PROGRAMS if len(own.intersection(heads)) >= 2), "")
    if len(heads) < FEWEST or not _IDENTITY.intersection(heads) or not (sensitive or program):
        return None
    rows = 0
    for row in _rows(page.raw, end, delimiter.encode(), len(cells) if delimiter else len(heads)):
        if not row:
            break
        rows += 1
    if not rows:
        return None
    return Export(
        form=Form.TABLE,
        where=page.where,
        line=page.line(begin),
        rows=rows,
        program=program,
        heads=heads,
        sensitive=sensitive,
    )


def _cells(line: str) -> tuple[list[str], str]:
    """The cells of a line of headings and what stands between them; nothing if it is not written in cells."""
    delimiter = max("\t|;,", key=line.count)
    if line.count(delimiter) < FEWEST - 1:
        return [], ""
    return [" ".join(cell.strip(" \"'*:").replace("_", " ").split()) for cell in line.split(delimiter)], delimiter


def _spaced_heads(line: str) -> tuple[str, ...]:
    """Headings with nothing but spaces between them, as a table in HTML is shown. Prose has other words."""
    if line.endswith((".", ":", "?", "!")):
        return ()
    words = line.split()
    heads: dict[str, None] = {}
    known = at = 0
    while at < len(words):
        for length in (3, 2, 1):
            head = " ".join(words[at : at + length])
            if head in _HEADS:
                heads[head] = None
                known += length
                at += length
                break
        else:
            at += 1
    return tuple(heads) if known >= 0.8 * len(words) else ()


def _rows(raw: bytes, start: int, delimiter: bytes, columns: int) -> Iterator[bool]:
    """Whether each line after the headings is a row of the same table, up to MOST and the first that is none."""
    for line in islice(_lines(raw, start), MOST):
        if delimiter:
            count = line.count(delimiter) + 1
            cells = line.split(delimiter, columns)
            alike = abs(count - columns) <= max(1, columns // 4)
            filled = sum(1 for cell in cells if cell.strip(b' "\r'))
            yield alike and filled >= 2 and all(len(cell) <= 200 for cell in cells)
        else:
            words = _TOKENS.findall(line)
            # Each heading has a value, though some values have two words.
            yield columns - 1 <= len(words) <= 3 * columns and any(each.isdigit() for each in map(chr, line))


def _lines(raw: bytes, start: int) -> Iterator[bytes]:
    while 0 <= start < len(raw):
        end = raw.find(b"\n", start + 1)
        end = len(raw) if end < 0 else end
        yield raw[start + 1 : min(end, start + 1 + _HEADLINE)]
        start = end


def _past_rows(raw: bytes, position: int, rows: int) -> int:
    for _ in range(rows):
        position = raw.find(b"\n", position + 1)
        if position < 0:
            return len(raw)
    return position
