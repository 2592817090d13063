"""Working days: reminders come when somebody is there to read them."""

from __future__ import annotations

from datetime import date

from gatepost_quarantine.workdays import Calendar

FRIDAY, SATURDAY, MONDAY, TUESDAY = date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23), date(2026, 11, 24)


def test_a_weekend_is_not_waiting_time() -> None:
    """What is held on Friday evening has waited one working day on Monday."""
    every = Calendar()
    assert [every.days_between(FRIDAY, day) for day in (FRIDAY, SATURDAY, MONDAY, TUESDAY)] == [0, 0, 1, 2]


def test_holidays_and_closed_days_do_not_count() -> None:
    """Held on the last day of term: the first working day is that of the new one."""
    terms = [(date(2026, 9, 1), FRIDAY), (date(2027, 1, 4), date(2027, 3, 26))]
    school = Calendar(terms=terms, closed=frozenset({date(2027, 1, 4)}))
    assert school.days_between(FRIDAY, date(2027, 1, 4)) == 0
    assert school.days_between(FRIDAY, date(2027, 1, 6)) == 2


def test_a_calendar_that_nobody_kept_up_does_not_silence_reminders() -> None:
    """After the last term that was entered, weeks count as if there were none."""
    old = Calendar(terms=[(date(2025, 9, 1), date(2025, 12, 19))])
    assert old.days_between(FRIDAY, MONDAY) == 1
