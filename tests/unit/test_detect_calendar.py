"""Invitations: who meets whom, when and in which role, whatever program wrote them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect import calendar
from gatepost_milter.detect.calendar import Attendee, Invitation
from gatepost_milter.detect.pages import Page

LONDON = ZoneInfo("Europe/London")
TEAMS = """\
BEGIN:VCALENDAR\r
METHOD:REQUEST\r
PRODID:Microsoft Exchange Server 2010\r
VERSION:2.0\r
BEGIN:VTIMEZONE\r
TZID:GMT Standard Time\r
BEGIN:STANDARD\r
DTSTART:16010101T020000\r
END:STANDARD\r
END:VTIMEZONE\r
BEGIN:VEVENT\r
ORGANIZER;CN=A. Bell:mailto:A.Bell@school.example\r
ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN="Smith: \r
 Anna":mailto:smitha@pupils.school.example\r
ATTENDEE;ROLE=OPT-PARTICIPANT;CN=Head of House:MAILTO:house@school.example\r
ATTENDEE;CUTYPE=RESOURCE;ROLE=NON-PARTICIPANT:mailto:room.4@school.example\r
DESCRIPTION:Join https://teams.microsoft.com/l/meetup\\, please\\nor ring\r
DTSTART;TZID=GMT Standard Time:20260701T150000\r
SUMMARY:Chat\r
BEGIN:VALARM\r
ATTENDEE:mailto:alarm@school.example\r
END:VALARM\r
END:VEVENT\r
END:VCALENDAR\r
"""


def _one(text: str) -> Invitation:
    (found,) = calendar.find(Page(text, where="part 2"), local=LONDON)
    return found


def _event(*lines: str) -> Invitation:
    return _one(
        "\n".join(["BEGIN:VCALENDAR", "METHOD:REQUEST", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR"])
    )


def test_an_invitation_as_exchange_writes_it() -> None:
    """Folded lines, quoted colons, time zones under Outlook's names, rooms among the attendees (KCS 3.7)."""
    found = _one(TEAMS)
    assert (found.method, found.organiser, found.where) == ("REQUEST", "a.bell@school.example", "part 2")
    assert found.attendees == (
        Attendee(address="smitha@pupils.school.example", role="required"),
        Attendee(address="house@school.example", role="optional"),
        Attendee(address="room.4@school.example", role="informed", kind="resource"),
    )
    assert [each.address for each in found.people] == ["smitha@pupils.school.example", "house@school.example"]
    assert found.starts == datetime(2026, 7, 1, 14, 0, tzinfo=UTC)
    assert "teams.microsoft.com/l/meetup, please\nor ring" in found.words
    assert not found.repeats


@pytest.mark.parametrize(
    ("line", "starts", "all_day"),
    [
        ("DTSTART:20260701T150000Z", datetime(2026, 7, 1, 15, tzinfo=UTC), False),
        ("DTSTART:20260701T150000", datetime(2026, 7, 1, 14, tzinfo=UTC), False),
        ("DTSTART;TZID=Europe/Paris:20260701T150000", datetime(2026, 7, 1, 13, tzinfo=UTC), False),
        ('DTSTART;TZID="Romance Standard Time":20260701T150000', datetime(2026, 7, 1, 13, tzinfo=UTC), False),
        ("DTSTART;TZID=Customized Time Zone:20260701T150000", datetime(2026, 7, 1, 14, tzinfo=UTC), False),
        ("DTSTART;TZID=../../etc/passwd:20260701T150000", datetime(2026, 7, 1, 14, tzinfo=UTC), False),
        ("DTSTART;VALUE=DATE:20260701", datetime(2026, 6, 30, 23, tzinfo=UTC), True),
        ("DTSTART:20261301T150000Z", None, False),
        ("DTSTART:00010101T000000", datetime(1, 1, 1, 0, 1, 15, tzinfo=UTC), False),
        ("DTSTART:tomorrow", None, False),
        ("SUMMARY:no time", None, False),
    ],
)
def test_when_it_starts(line: str, starts: datetime | None, all_day: bool) -> None:
    """Always in UTC; a time without a zone is the school's own; names of zones open no files."""
    found = _event(line)
    assert (found.starts, found.all_day) == (starts, all_day)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("ATTENDEE:mailto:a@x.example", "a@x.example"),
        ("attendee:MAILTO:A@X.example", "a@x.example"),
        ("ATTENDEE;EMAIL=a@x.example:urn:uuid:42", "a@x.example"),
        ('ATTENDEE;CN="a;b:c";ROLE=CHAIR:mailto:a@x.example', "a@x.example"),
        ("ATTENDEE:a@x.example", "a@x.example"),
    ],
)
def test_how_attendees_are_written(line: str, address: str) -> None:
    """Programs differ; the mailbox is what counts."""
    assert [each.address for each in _event(line).attendees] == [address]


@pytest.mark.parametrize(
    "line", ["ATTENDEE:invalid", "ATTENDEE", "ATTENDEE:mailto:", "ATTENDEE:a b@x.example", 'ATTENDEE;CN="a']
)
def test_what_is_no_attendee(line: str) -> None:
    """Left out, and nothing raises."""
    assert _event(line).attendees == ()


def test_the_same_attendee_twice_is_one_and_roles_default_to_required() -> None:
    """RFC 5545 section 3.2.16."""
    found = _event(
        "ATTENDEE:mailto:a@x.example", "ATTENDEE;ROLE=OPT-PARTICIPANT:mailto:A@x.example", "RRULE:FREQ=DAILY"
    )
    assert found.attendees == (Attendee(address="a@x.example"),)
    assert found.repeats


@pytest.mark.parametrize(
    "text", ["", "a letter about BEGIN:VEVENT", "BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VTODO\nEND:VCALENDAR"]
)
def test_no_invitation(text: str) -> None:
    """Only events are looked at."""
    assert calendar.find(Page(text)) == ()


def test_a_calendar_that_ends_too_early_and_bounds() -> None:
    """Cut short it is still an invitation; a thousand events are fifty."""
    assert _one("BEGIN:VCALENDAR\nBEGIN:VEVENT\nORGANIZER:mailto:a@x.example").organiser == "a@x.example"
    events = "BEGIN:VEVENT\nEND:VEVENT\n" * 1000
    assert len(calendar.find(Page(f"BEGIN:VCALENDAR\n{events}"))) == calendar.MOST_EVENTS
    many = [f"ATTENDEE:mailto:{number}@x.example" for number in range(3000)]
    assert len(_event(*many).attendees) == calendar.MOST_ATTENDEES


@given(st.text(alphabet='BEGINDVT:;="\n\r ATSR0159Z\\,', max_size=300))
def test_whatever_stands_there_nothing_raises(text: str) -> None:
    """Between the lines of an event too."""
    calendar.find(Page(f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}\nATTENDEE{text}\nDTSTART{text}"), local=LONDON)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["ATTENDEE:", "\n ", '\nATTENDEE;CN="', "BEGIN:VEVENT\n", '"', ";A=B", "\nDTSTART:1", "\\n", "\nX-A"]
)
def test_five_megabytes_take_linear_time(unit: str) -> None:
    """Folds, quotes and parameters without end."""
    text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nATTENDEE" + unit * (5_000_000 // len(unit))
    started = time.process_time()
    calendar.find(Page(text))
    assert time.process_time() - started < 10
