"""Owns what a rule needs of an invitation: who asks whom to meet, when, and in which role (RFC 5545, RFC 5546).

A bounded reader of our own: libraries for calendars build the whole object, raise on what real programs write, and
promise no bounds. What cannot be understood is left out; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gatepost_milter.detect.pages import Page

MOST_EVENTS = 50
MOST_ATTENDEES = 2000
"""Of one event. Bounds of what is kept, far above any lesson."""

_FOLD = re.compile(r"\r?\n[ \t]")
_WANTED = re.compile(
    r"^(BEGIN|END|METHOD|ORGANIZER|ATTENDEE|DTSTART|SEQUENCE|RRULE|LOCATION|DESCRIPTION|URL|SUMMARY|CONFERENCE"
    r"|X-[A-Z-]{1,40}URL)([;:][^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST = 65536  # characters of one property that are read
_ZONE = re.compile(r"[A-Za-z]{2,20}/[A-Za-z_]{2,30}\Z")
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?\Z")

# Names that Outlook gives to the zones of the schools' correspondents (CLDR windowsZones).
_OUTLOOK_ZONES = {
    "gmt standard time": "Europe/London",
    "greenwich standard time": "Africa/Abidjan",
    "w. europe standard time": "Europe/Berlin",
    "central europe standard time": "Europe/Budapest",
    "romance standard time": "Europe/Paris",
    "eastern standard time": "America/New_York",
    "utc": "Etc/UTC",
}
_ROLES = {
    "CHAIR": "chair",
    "REQ-PARTICIPANT": "required",
    "OPT-PARTICIPANT": "optional",
    "NON-PARTICIPANT": "informed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendee:
    """Somebody who is invited. ``role`` is ``chair``, ``required`` (the default), ``optional`` or ``informed``;
    ``kind`` is ``individual`` (the default), ``group``, ``resource``, ``room`` or ``unknown``."""

    address: str
    role: str = "required"
    kind: str = "individual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """One event of an invitation. ``method`` is in capitals (``REQUEST``, ``CANCEL``, empty if none is stated).

    ``starts`` is in UTC, None if it cannot be read; a time without a zone is in the reader's own. ``words`` are
    summary, place, description and links, for the detectors of texts.
    """

    where: str
    method: str
    organiser: str
    attendees: tuple[Attendee, ...]
    starts: datetime | None
    all_day: bool
    repeats: bool
    words: str

    @property
    def people(self) -> tuple[Attendee, ...]:
        """The attendees who are people or groups of them: not rooms and resources, and not the organiser."""
        return tuple(
            each
            for each in self.attendees
            if each.kind not in ("room", "resource") and each.address != self.organiser
        )


def find(page: Page, *, local: tzinfo = UTC) -> tuple[Invitation, ...]:
    """The events of an iCalendar text, at most MOST_EVENTS; none if the text holds no calendar.

    ``local`` is the school's time zone, for times that state none.
    """
    if b"begin:vcalendar" not in page.lowered:
        return ()
    method = ""
    found: list[_Event] = []
    event: _Event | None = None
    inner = 0  # depth of components inside the event: an alarm has attendees of its own
    for name, parameters, value in _properties(page.source):
        if name == "METHOD" and not method:
            method = value.strip().upper()[:40]
        elif name == "BEGIN":
            if event is not None:
                inner += 1
            elif value.strip().upper() == "VEVENT" and len(found) < MOST_EVENTS:
                event = _Event()
        elif name == "END" and event is not None:
            if inner:
                inner -= 1
            else:
                found.append(event)
                event = None
        elif event is not None and not inner:
            event.take(name, parameters, value, local)
    if event is not None:
        found.append(event)  # a text that ends too early
    return tuple(each.invitation(page.where, method) for each in found)


class _Event:
    """An event while its properties are read."""

    def __init__(self) -> None:
        self.organiser = ""
        self.attendees: dict[str, Attendee] = {}
        self.starts: datetime | None = None
        self.all_day = False
        self.repeats = False
        self.words: list[str] = []

    def take(self, name: str, parameters: dict[str, str], value: str, local: tzinfo) -> None:
        if name == "ORGANIZER":
            self.organiser = self.organiser or _address(value, parameters)
        elif name == "ATTENDEE":
            address = _address(value, parameters)
            if address and len(self.attendees) < MOST_ATTENDEES:
                self.attendees.setdefault(
                    address,
                    Attendee(
                        address=address,
                        role=_ROLES.get(parameters.get("ROLE", "").upper(), "required"),
                        kind=_kind(parameters.get("CUTYPE", "")),
                    ),
                )
        elif name == "DTSTART":
            if self.starts is None:
                self.starts, self.all_day = _time(value.strip(), parameters.get("TZID", ""), local)
        elif name == "RRULE":
            self.repeats = True
        elif name != "SEQUENCE":
            self.words.append(_unescaped(value))

    def invitation(self, where: str, method: str) -> Invitation:
        return Invitation(
            where=where,
            method=method,
            organiser=self.organiser,
            attendees=tuple(self.attendees.values()),
            starts=self.starts,
            all_day=self.all_day,
            repeats=self.repeats,
            words="\n".join(self.words),
        )


def _properties(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Name, parameters and value of the properties that are wanted, unfolded (RFC 5545 section 3.1)."""
    for match in _WANTED.finditer(_FOLD.sub("", text)):
        parameters, value = _split(match[2][:_LONGEST])
        yield match[1].upper(), parameters, value


def _split(rest: str) -> tuple[dict[str, str], str]:
    """``;ROLE=CHAIR;CN="Bell: Anna":mailto:…`` at the first colon outside quotes."""
    parameters: dict[str, str] = {}
    for index, piece in enumerate(pieces := rest.split('"')):
        if index % 2 == 0 and ":" in piece:
            head = '"'.join(pieces[:index]) + ('"' if index else "") + piece.partition(":")[0]
            break
    else:
        return {}, rest.lstrip(";:")
    for each in _PARAMETER.finditer(head):
        parameters.setdefault(each[1].upper(), each[2].strip('"'))
    return parameters, rest[len(head) + 1 :]


_PARAMETER = re.compile(r';([A-Za-z0-9-]{1,40})=("[^"]*"|[^";]*)')


def _address(value: str, parameters: dict[str, str]) -> str:
    """The mailbox of a calendar user, in lower case; Exchange sometimes has it only in EMAIL (RFC 7986)."""
    for each in (value, parameters.get("EMAIL", "")):
        address = each.strip()
        if address[:7].lower() == "mailto:":
            address = address[7:]
        if address.count("@") == 1 and len(address) <= 320 and not re.search(r"\s", address):
            return address.lower()
    return ""


def _kind(value: str) -> str:
    kind = value.lower()
    return kind if kind in ("group", "resource", "room", "unknown") else "individual"


def _time(value: str, zone: str, local: tzinfo) -> tuple[datetime | None, bool]:
    match = _STAMP.match(value[:20])
    if match is None or not value.isascii():
        return None, False
    all_day = match[4] is None
    year, month, day, hour, minute, second = (int(match[group] or 0) for group in range(1, 7))
    try:
        moment = datetime(
            year, month, day, hour, minute, min(second, 59), tzinfo=UTC if match[7] else _zone(zone, local)
        )
        return moment.astimezone(UTC), all_day
    except (ValueError, OverflowError):
        return None, all_day


def _zone(name: str, local: tzinfo) -> tzinfo:
    """The zone of that name; names come from strangers, and only what looks like one is looked up."""
    name = _OUTLOOK_ZONES.get(name.strip().lower(), name.strip().lstrip("/"))
    if not _ZONE.match(name):
        return local
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return local


def _unescaped(value: str) -> str:
    return (
        value.replace("\\n", "\n")
        .replace("\\N", "\n")
        .replace("\\,", ",")
        .replace("\\;", ";")
        .replace("\\\\", "\\")
    )
